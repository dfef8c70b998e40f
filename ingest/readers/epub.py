"""Books (.epub): the chapters in the order of the book's spine, each read as the HTML it is.

EbookLib, the known library, is under the AGPL; what it would do here is follow three XML files.
"""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from urllib.parse import unquote

from ingest.normalise import inline
from ingest.readers.builder import TextBuilder
from ingest.readers.decode import decode
from ingest.readers.html import write_html
from ingest.readers.html_tree import content_root
from ingest.readers.names import title_of
from ingest.readers.package import BROKEN, broken, open_package, parse_xml
from rag.types import DocumentRejected, ParsedDocument

VERSION = "epub/1"

_CONTAINER = "{urn:oasis:names:tc:opendocument:xmlns:container}"
_OPF = "{http://www.idpf.org/2007/opf}"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_NAVIGATION = "nav"


def read_epub(name: str, data: bytes) -> ParsedDocument:
    """Reads the chapters; the title is the book's. Raises DocumentRejected for a broken or protected book."""
    builder = TextBuilder()
    with open_package(data, "EPUB book", ".epub") as package:
        try:
            if "META-INF/encryption.xml" in package.namelist() and "META-INF/rights.xml" in package.namelist():
                raise DocumentRejected("it is under copy protection; only books without it are read")
            title, chapters = _contents(package)
            for chapter in chapters:
                root, _ = content_root(decode(package.read(chapter)))
                if root:
                    write_html(root, builder)
        except DocumentRejected:
            raise
        except BROKEN as error:
            raise broken("EPUB book", ".epub", error) from error
    return builder.finish(title or title_of(name), VERSION)


def _contents(package: zipfile.ZipFile) -> tuple[str, list[str]]:
    """The book's title, and the paths of its chapters in reading order."""
    container = parse_xml(package.read("META-INF/container.xml"))
    root = container.find(f".//{_CONTAINER}rootfile")
    if root is None:
        raise DocumentRejected("it is no EPUB book: it names no contents; save it again as .epub")
    path = root.get("full-path", "")
    book = parse_xml(package.read(path))
    title = inline(book.findtext(f".//{_TITLE}") or "")
    items = {item.get("id"): item for item in book.iter(f"{_OPF}item")}
    return title, list(_chapters(package, items, book.iter(f"{_OPF}itemref"), posixpath.dirname(path)))


def _chapters(package: zipfile.ZipFile, items: dict, references: Iterator, folder: str) -> Iterator[str]:  # type: ignore[type-arg]
    names = set(package.namelist())
    for reference in references:
        item = items.get(reference.get("idref"))
        if (
            item is None
            or "html" not in item.get("media-type", "")
            or _NAVIGATION in item.get("properties", "").split()
        ):
            continue
        chapter = posixpath.normpath(posixpath.join(folder, unquote(item.get("href", ""))))
        if chapter in names:  # a chapter that is only named is left out, as reading programs do
            yield chapter
