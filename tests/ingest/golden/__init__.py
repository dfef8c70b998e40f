"""The golden set of text extraction: documents written by hand, and what must come out of each."""
