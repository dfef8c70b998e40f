"""The commands, one file a group; answerable.py puts them together and nothing else imports them."""
