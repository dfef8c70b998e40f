"""OpenDocument texts (.odt), from their content.xml by lxml: the format is one XML file with text in reading order.

odfdo and odfpy were tried (docs/decisions.md): both hand out the same XML with more time and no more structure.
"""

from __future__ import annotations

from collections.abc import Iterator

from ingest.normalise import inline
from ingest.readers.builder import TextBuilder
from ingest.readers.names import title_of
from ingest.readers.package import BROKEN, Element, broken, open_package, parse_xml
from rag.types import DocumentRejected, ParsedDocument

VERSION = "odt/1"

_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_UNREAD = {
    f"{_TEXT}tracked-changes",
    f"{_TEXT}table-of-content",
    f"{_TEXT}alphabetical-index",
    f"{_OFFICE}annotation",
    f"{_OFFICE}annotation-end",
    f"{_TEXT}note",
    f"{_OFFICE}forms",
    f"{_TEXT}sequence-decls",
}
_SIGNS = {f"{_TEXT}tab": " ", f"{_TEXT}line-break": "\v"}
_MOST_REPEATED = 200  # columns or spaces that one element may stand for
_DEEPEST = 100  # lists, sections and frames within each other


def read_odt(name: str, data: bytes) -> ParsedDocument:
    """Reads headings, paragraphs, lists and tables in order; the title is the file's property or first heading.

    Raises DocumentRejected for a file that is no OpenDocument text, is broken, encrypted, or unpacks to too much.
    """
    builder = TextBuilder()
    writer = _Writer(builder)
    with open_package(data, "OpenDocument text", ".odt") as package:
        try:
            if b"encryption-data" in package.read("META-INF/manifest.xml"):
                raise DocumentRejected("it is encrypted; save it without a password")
            body = parse_xml(package.read("content.xml")).find(f"{_OFFICE}body/{_OFFICE}text")
            title = ""
            if "meta.xml" in package.namelist():
                title = inline(parse_xml(package.read("meta.xml")).findtext(f".//{_TITLE}") or "")
        except DocumentRejected:
            raise
        except BROKEN as error:
            raise broken("OpenDocument text", ".odt", error) from error
    if body is None:
        raise DocumentRejected("it holds no text document; save it again as .odt")
    writer.write(body, 0)
    return builder.finish(title or writer.first_title or title_of(name), VERSION)


class _Writer:
    """Adds a body's elements to the builder; ``first_title`` is the first heading of level 1."""

    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self.first_title = ""

    def write(self, parent: Element, depth: int) -> None:
        """Walks the children of a body, section, frame or list item."""
        if depth > _DEEPEST:
            return
        for child in parent:
            if child.tag in _UNREAD or not isinstance(child.tag, str):
                continue
            if child.tag == f"{_TEXT}h":
                self._heading(child)
            elif child.tag == f"{_TEXT}p":
                self._builder.paragraph(*_rows(child))
            elif child.tag == f"{_TEXT}list":
                self._list(child, depth)
            elif child.tag == f"{_TABLE}table":
                self._table(child)
            else:
                self.write(child, depth + 1)

    def _heading(self, element: Element) -> None:
        level = element.get(f"{_TEXT}outline-level", "1")
        text = inline(" ".join(_rows(element)))
        self._builder.heading(int(level) if level.isdecimal() and len(level) < 3 else 1, text)
        self.first_title = self.first_title or text

    def _list(self, element: Element, depth: int) -> None:
        for item in element:
            marker = "-"
            for child in item:
                if child.tag == f"{_TEXT}list":
                    if depth < _DEEPEST:
                        self._list(child, depth + 1)
                elif child.tag == f"{_TEXT}p" and marker:
                    self._builder.item(marker, *_rows(child))
                    marker = ""
                else:
                    self.write([child], depth + 1)

    def _table(self, table: Element) -> None:
        headed = table.find(f"{_TABLE}table-header-rows") is not None
        self._builder.table([list(_cells(row)) for row in table.iter(f"{_TABLE}table-row")], headed or None)


def _cells(row: Element) -> Iterator[str]:
    for cell in row:
        if cell.tag not in (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"):
            continue
        text = " ".join(" ".join(_rows(paragraph)) for paragraph in cell.iter(f"{_TEXT}p", f"{_TEXT}h"))
        repeated = cell.get(f"{_TABLE}number-columns-repeated", "1")
        times = int(repeated) if repeated.isdecimal() and len(repeated) < 6 else 1
        yield from [text] * min(times, _MOST_REPEATED)


def _rows(paragraph: Element) -> list[str]:
    """The visible text of a paragraph; a line break begins a new row."""
    return "".join(_pieces(paragraph)).split("\v")


def _pieces(element: Element) -> Iterator[str]:
    """Text below ``element`` in order, walked without recursion: notes, comments and deletions left out."""
    stack = [iter([element])]
    tails: list[str] = [""]
    while stack:
        child = next(stack[-1], None)
        if child is None:
            stack.pop()
            yield tails.pop()
            continue
        tail = (child.tail or "").replace("\v", " ") if child is not element else ""
        if child.tag in _UNREAD or not isinstance(child.tag, str):
            yield tail
            continue
        if child.tag == f"{_TEXT}s":
            yield " "
        yield _SIGNS.get(child.tag, "") + (child.text or "").replace("\v", " ")
        stack.append(iter(child))
        tails.append(tail)
