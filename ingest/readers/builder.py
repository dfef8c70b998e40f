"""The text of a document, grown part by part, with the map back to pages, headings and blocks.

Readers say what a part is; the builder normalises it, sets the blank line or line break before it and notes its
offsets. So offsets are right by construction: nothing is changed after it was appended.
"""

from __future__ import annotations

from collections.abc import Sequence

from ingest.normalise import code, inline
from rag.types import Block, DocumentRejected, Heading, Page, ParsedDocument

LONGEST_HEADING = 300  # characters; a longer one is a paragraph that was marked up as a heading for its looks

_PARAGRAPH = "\n\n"
_LINE = "\n"
_CELL = " | "
_LONGEST_NAME = 80  # characters of a column's name before a cell


class TextBuilder:
    """Collects the parts of one document; ``finish`` gives the record."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._last_kind = ""
        self._headings: list[Heading] = []
        self._blocks: list[Block] = []
        self._pages: list[list[int]] = []  # number, start, end

    @property
    def empty(self) -> bool:
        """Whether no text was added yet."""
        return self._length == 0

    def paragraph(self, *rows: str) -> None:
        """A paragraph; several ``rows`` are lines that stay apart, as in an address."""
        self.add(_LINE.join(row for row in map(inline, rows) if row), _PARAGRAPH)

    def heading(self, level: int, text: str) -> None:
        """A heading of ``level`` (1 is the highest); a very long one is taken for a paragraph."""
        text = inline(text)
        start, end = self.add(text, _PARAGRAPH)
        if 0 < len(text) <= LONGEST_HEADING:
            self._headings.append(Heading(level, start, end))

    def code(self, text: str) -> None:
        """A code block, indentation kept."""
        self._block("code", code(text), _PARAGRAPH)

    def item(self, marker: str, *rows: str) -> None:
        """A list item after ``marker`` ("-", "3."); items in a row stand on lines of their own."""
        kept = [row for row in map(inline, rows) if row]
        if kept:
            gap = _LINE if self._last_kind == "list" else _PARAGRAPH
            self._block("list", f"{marker} {_LINE.join(kept)}", gap)

    def table(self, rows: Sequence[Sequence[str]], headed: bool | None = None) -> None:
        """A table, one line a row, cells parted by " | ". ``headed`` says whether row 0 is the header; None: guess.

        Below a header each cell carries the name of its column, "Price: 12 EUR", and empty cells are left out: a row
        says what it means wherever it is quoted.
        """
        cells = [[inline(cell) for cell in row] for row in rows]
        cells = [row for row in cells if any(row)]
        if not cells:
            return
        if headed is None:
            headed = _looks_headed(cells)
        header = _row(cells[0]) if headed and _CELL in _row(cells[0]) else ""
        gap = _PARAGRAPH
        for number, row in enumerate(cells):
            self._block("table", _named(cells[0], row) if header and number else _row(row), gap, header)
            gap = _LINE

    def row(self, text: str) -> None:
        """A record as a line that is never cut; rows in a row stand on lines of their own."""
        self._block("table", inline(text), _LINE if self._last_kind == "table" else _PARAGRAPH)

    def page(self, number: int) -> None:
        """What is added from here on stands on page ``number``."""
        self._pages.append([number, -1, -1])

    def add(self, text: str, gap: str) -> tuple[int, int]:
        """Appends ``text``, normalised already, after ``gap``; its (start, end), or an empty span for no text."""
        if not text:
            return self._length, self._length
        start = self._length + (len(gap) if self._length else 0)
        if self._length:
            self._parts.append(gap)
        self._parts.append(text)
        self._length = start + len(text)
        self._last_kind = ""
        if self._pages:
            if self._pages[-1][1] < 0:
                self._pages[-1][1] = start
            self._pages[-1][2] = self._length
        return start, self._length

    def finish(self, title: str, reader: str, note: str = "") -> ParsedDocument:
        """The document; ``note`` says what could not be read. Raises DocumentRejected when no text was added."""
        if self.empty:
            raise DocumentRejected("the file holds no text; nothing to ingest")
        return ParsedDocument(
            title=inline(title),
            text="".join(self._parts),
            reader=reader,
            pages=self._page_records(),
            headings=tuple(self._headings),
            blocks=tuple(self._blocks),
            note=note,
        )

    def _block(self, kind: str, text: str, gap: str, header: str = "") -> None:
        start, end = self.add(text, gap)
        if end > start:
            self._blocks.append(Block(kind, start, end, header))
            self._last_kind = kind

    def _page_records(self) -> tuple[Page, ...]:
        pages = []
        reached = 0
        for number, start, end in self._pages:
            reached = max(reached, end)
            pages.append(Page(number, start, end) if start >= 0 else Page(number, reached, reached))
        return tuple(pages)


def _row(cells: Sequence[str]) -> str:
    texts = list(cells)
    while texts and not texts[-1]:
        texts.pop()
    return inline(_CELL.join(texts))


def _named(header: Sequence[str], cells: Sequence[str]) -> str:
    """The row with the name of its column before each cell; cells without text are left out."""
    names = [*header, *[""] * (len(cells) - len(header))]
    return _CELL.join(
        f"{name[:_LONGEST_NAME].rstrip(': ')}: {cell}" if name else cell
        for name, cell in zip(names, cells, strict=False)
        if cell
    )


def _looks_headed(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row of a table names its columns: cells filled but for the first, all different, no figure.

    Two columns may as well be a list of properties ("Colour | red"), so they must hold figures below words.
    """
    first = rows[0]
    if len(rows) < 2 or len(first) < 2 or not all(first[1:]):
        return False
    if len(first) == 2 and (_figure(first[1]) or not all(_figure(row[-1]) for row in rows[1:] if len(row) > 1)):
        return False
    return len(set(first)) == len(first) and not any(cell[-1:].isdigit() and cell[:1].isdigit() for cell in first)


def _figure(cell: str) -> bool:
    return any(sign.isdigit() for sign in cell)
