"""Word files (.docx), by python-docx (MIT, kept) for the package and its styles.

Text is taken from the XML below each paragraph, not from ``Paragraph.text``: that property skips insertions under
change tracking, content controls and smart tags, and so would lose words that the reader of the file sees. Headers,
footers, comments and footnotes are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import docx
from docx.opc.exceptions import PackageNotFoundError

from ingest.normalise import inline
from ingest.readers.builder import TextBuilder
from ingest.readers.names import title_of
from ingest.readers.package import BROKEN, Element, broken, open_office, open_package
from rag.types import ParsedDocument

VERSION = "docx/2"

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)
_MOST_COLUMNS = 63  # of a table in Word
_OUTLINE = {str(level): str(level + 1) for level in range(9)}  # outline level of a paragraph -> heading level
_DEEPEST_STYLE = 10  # styles a style may be based on in turn
_TEXT = {f"{_W}tab": " ", f"{_W}br": "\v", f"{_W}cr": "\v", f"{_W}p": "\v", f"{_W}noBreakHyphen": "-"}


def read_docx(name: str, data: bytes) -> ParsedDocument:
    """Reads headings (by style), paragraphs, lists and tables in order; the title is the file's property or heading.

    Raises DocumentRejected for a file that is no Word document, is broken, encrypted, or unpacks to too much.
    """
    open_package(data, "Word file", ".docx").close()
    try:
        document = open_office(docx.Document, data)
        styles = {style.style_id: style for style in document.styles}
        title = inline(document.core_properties.title or "")
        body = document.element.body
    except (*BROKEN, PackageNotFoundError) as error:
        raise broken("Word file", ".docx", error) from error
    builder = TextBuilder()
    writer = _Writer(builder, {key: _kind(style) for key, style in styles.items()})
    writer.write(body)
    return builder.finish(title or writer.first_title or title_of(name), VERSION)


class _Writer:
    """Adds a body's paragraphs and tables to the builder; ``first_title`` is the first title or heading 1."""

    def __init__(self, builder: TextBuilder, kinds: dict[str, str]) -> None:
        self._builder = builder
        self._kinds = kinds  # style id -> "1".."9" for a heading, "title", "list", ""
        self.first_title = ""

    def write(self, parent: Element) -> None:
        """Walks the children of a body or of a content control."""
        for child in parent:
            if child.tag == f"{_W}p":
                self._paragraph(child)
            elif child.tag == f"{_W}tbl":
                self._table(child)
            elif child.tag == f"{_W}sdt" and not _is_contents(child):
                for content in child.iterchildren(f"{_W}sdtContent"):
                    self.write(content)
            elif child.tag in (f"{_W}ins", f"{_W}moveTo", f"{_W}customXml", f"{_W}smartTag"):
                self.write(child)

    def _paragraph(self, element: Element) -> None:
        rows = _text(element).split("\v")
        kind = self._kind(element)
        if kind.isdigit() or kind == "title":
            text = " ".join(rows)
            self._builder.heading(1 if kind == "title" else int(kind), text)
            if kind in ("1", "title"):
                self.first_title = self.first_title or inline(text)
        elif kind == "list":
            self._builder.item("-", *rows)
        elif kind != "contents":
            self._builder.paragraph(*rows)

    def _kind(self, element: Element) -> str:
        properties = element.find(f"{_W}pPr")
        if properties is None:
            return ""
        style = properties.find(f"{_W}pStyle")
        kind = self._kinds.get(style.get(f"{_W}val"), "") if style is not None else ""
        level = properties.find(f"{_W}outlineLvl")
        if not kind and level is not None and level.get(f"{_W}val") in _OUTLINE:
            return _OUTLINE[level.get(f"{_W}val")]
        return kind or ("list" if properties.find(f"{_W}numPr") is not None else "")

    def _table(self, table: Element) -> None:
        rows = [list(_cells(row)) for row in table.iterchildren(f"{_W}tr")]
        marked = table.find(f"{_W}tr/{_W}trPr/{_W}tblHeader") is not None
        if len(rows) == 1 and len(rows[0]) == 1:  # a frame around text
            for cell in table.iter(f"{_W}tc"):
                self.write(cell)
                break
            return
        self._builder.table(rows, marked or None)


def _kind(style: Any) -> str:
    """What a paragraph style stands for, looked up through the styles it is based on."""
    for _ in range(_DEEPEST_STYLE):
        if style is None:
            return ""
        name = (style.name or "").lower()
        found = _HEADING.fullmatch(name)
        if found:
            return found[1]
        if name == "title":
            return "title"
        if name.startswith("toc ") or name == "table of contents":
            return "contents"
        if name.startswith("list ") or name == "list paragraph":
            return "list" if name != "list paragraph" else ""
        style = getattr(style, "base_style", None)
    return ""


def _is_contents(control: Element) -> bool:
    gallery = control.find(f"{_W}sdtPr/{_W}docPartObj/{_W}docPartGallery")
    return gallery is not None and gallery.get(f"{_W}val") == "Table of Contents"


def _cells(row: Element) -> Iterator[str]:
    """The texts of a row's cells; "" where a cell continues the one above it or left of it."""
    for child in row:
        for cell in [child] if child.tag == f"{_W}tc" else child.findall(f"{_W}sdtContent/{_W}tc"):
            merged = cell.find(f"{_W}tcPr/{_W}vMerge")
            above = merged is not None and merged.get(f"{_W}val") != "restart"
            yield "" if above else " ".join(_text(paragraph) for paragraph in cell.iter(f"{_W}p")).replace("\v", " ")
            span = cell.find(f"{_W}tcPr/{_W}gridSpan")
            width = span.get(f"{_W}val", "1") if span is not None else "1"
            yield from [""] * (min(int(width), _MOST_COLUMNS) - 1 if width.isdecimal() and len(width) < 5 else 0)


def _text(paragraph: Element) -> str:
    """The visible text of a paragraph: insertions included, deletions not; ``\\v`` for a line break."""
    pieces: list[str] = []
    for element in paragraph.iter(f"{_W}t", *_TEXT):
        if any(parent.tag in (_FALLBACK, f"{_W}moveFrom", f"{_W}tabs") for parent in _between(element, paragraph)):
            continue
        pieces.append(_TEXT.get(element.tag) or (element.text or "").replace("\v", " "))
    return "".join(pieces)


def _between(element: Element, top: Element) -> Iterator[Element]:
    """The ancestors of ``element`` below ``top``."""
    parent = element.getparent()
    while parent is not None and parent is not top:
        yield parent
        parent = parent.getparent()
