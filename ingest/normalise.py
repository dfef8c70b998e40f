"""Text is normalised once, before any offset is taken, so that every later offset refers to what is stored.

Two forms: ``inline`` makes one line of a heading, a table cell or a wrapped paragraph; ``lines`` keeps line breaks, and
for code also the indentation. Both give NFC text without control characters, soft hyphens, zero-width characters,
bidirectional overrides or lone surrogates. Both are idempotent, and pieces joined by a line break or a space stay
normalised, because no combining mark composes with either.

The zero-width joiner and non-joiner stay: they are spelling in Persian, in Indic scripts and in emoji.
"""

from __future__ import annotations

import re
import unicodedata

# Line breaks other than \n: CR LF, CR, VT, FF, NEL, LINE SEPARATOR, PARAGRAPH SEPARATOR.
_BREAKS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# Controls but \t and \n, soft hyphen, zero-width space, word joiner and invisible operators, byte order mark,
# bidirectional marks (they can hide text from the reader of a citation), interlinear annotations, non-characters,
# and the tag characters, which carry text that no one sees.
_DROPPED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff]"
)
_SURROGATES = re.compile("[\ud800-\udfff]")
_SPACES = re.compile(r"[^\S\n]+")
_AROUND_BREAK = re.compile(r" ?\n ?")
_MANY_BREAKS = re.compile(r"\n{3,}")
_TAB_WIDTH = 4


def clean(text: str) -> str:
    """``text`` in NFC with ``\\n`` line breaks and without invisible characters; spaces are left as they are."""
    text = _BREAKS.sub("\n", text)
    if not text.isascii():
        text = _SURROGATES.sub("\ufffd", text)
    return unicodedata.normalize("NFC", _DROPPED.sub("", text))


def inline(text: str) -> str:
    """``text`` as one line: every run of white space is one space, none at the ends."""
    return " ".join(clean(text).split())


def lines(text: str) -> str:
    """``text`` with its line breaks, at most two in a row, and single spaces; none of either at the ends."""
    text = _AROUND_BREAK.sub("\n", _SPACES.sub(" ", clean(text)))
    return _MANY_BREAKS.sub("\n\n", text).strip()


def code(text: str) -> str:
    """``text`` with indentation and inner spaces kept; common indentation, trailing spaces and tabs are not."""
    rows = [row.rstrip().expandtabs(_TAB_WIDTH) for row in clean(text).split("\n")]
    filled = [row for row in rows if row]
    if not filled:
        return ""
    margin = min(len(row) - len(row.lstrip()) for row in filled)
    return _MANY_BREAKS.sub("\n\n", "\n".join(row[margin:] for row in rows)).strip("\n").lstrip()
