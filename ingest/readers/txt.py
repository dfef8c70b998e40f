"""Plain text: paragraphs, list items, underlined headings. No library but the one that guesses encodings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from ingest.normalise import lines
from ingest.readers.builder import TextBuilder
from ingest.readers.decode import decode
from ingest.readers.names import title_of
from rag.types import ParsedDocument

VERSION = "txt/1"

_UNDERLINE = re.compile(r"(=|-|~|\*)\1{2,}")
_LEVELS = {"=": 1, "*": 1, "-": 2, "~": 3}
_ITEM = re.compile(r"([-*•–]|\d{1,3}[.)]) +(\S.*)")
_LONGEST_TITLE = 100
# A paragraph was wrapped by hand when every line but the last is about as long as a screen is wide.
_WRAPPED = range(45, 130)


def read_txt(name: str, data: bytes) -> ParsedDocument:
    """Reads plain text in any encoding that can be told. Raises DocumentRejected for binary data or no text."""
    paragraphs = lines(decode(data)).split("\n\n")
    builder = TextBuilder()
    for paragraph in paragraphs:
        _add(builder, paragraph.split("\n"))
    first = paragraphs[0].split("\n")
    titled = len(first) == 1 or _UNDERLINE.fullmatch(first[1])
    title = first[0] if titled and len(first[0]) <= _LONGEST_TITLE else title_of(name)
    return builder.finish(title, VERSION)


def _add(builder: TextBuilder, rows: list[str]) -> None:
    if len(rows) > 1 and _UNDERLINE.fullmatch(rows[1]) and not _UNDERLINE.fullmatch(rows[0]):
        builder.heading(_LEVELS[rows[1][0]], rows[0])
        rows = rows[2:]
    for is_item, group in groupby(_entries(rows), key=lambda entry: entry[0] != ""):
        for marker, entry in group:
            texts = [" ".join(entry)] if _is_wrapped(entry) else entry
            if is_item:
                builder.item(marker, *texts)
            else:
                builder.paragraph(*texts)


def _entries(rows: list[str]) -> Iterator[tuple[str, list[str]]]:
    """List items, with their marker and the lines that continue them, and the lines before the first item."""
    marker, entry = "", list[str]()
    for row in rows:
        found = _ITEM.fullmatch(row)
        if found:
            if entry:
                yield marker, entry
            marker, entry = found[1], [found[2]]
        else:
            entry.append(row)
    if entry:
        yield marker, entry


def _is_wrapped(rows: list[str]) -> bool:
    return len(rows) > 1 and all(len(row) in _WRAPPED for row in rows[:-1])
