"""ZIP packages of Office files and books: opened within bounds, told apart by what they hold, their XML parsed safely.

lxml parses with entities unresolved, no network and its own limits on depth and size in force, so a bomb of entities
or of nesting is an error of that file.
"""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

from lxml import etree

from rag.types import DocumentRejected

MOST_XML = 50_000_000  # bytes of XML after unpacking; the text of a thousand pages takes some 20 MB
MOST_BYTES = 1_000_000_000  # bytes of everything after unpacking, pictures included
MOST_PARTS = 20_000  # files in the package

_OFFICE = (("word/", ".docx"), ("ppt/", ".pptx"), ("xl/", ".xlsx"))
_MIMETYPES = {
    b"application/vnd.oasis.opendocument.text": ".odt",
    b"application/vnd.oasis.opendocument.spreadsheet": ".ods",
    b"application/epub+zip": ".epub",
}
_XML = (".xml", ".rels", ".xhtml", ".html", ".htm", ".opf", ".ncx", ".vml")

# What zipfile and zlib raise for a package that is damaged or not quite one; found by fuzzing.
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    LookupError,
    ValueError,
    OSError,
    NotImplementedError,
    RuntimeError,
    etree.LxmlError,
    SyntaxError,
    AttributeError,
    TypeError,
    OverflowError,
)

Element = Any  # lxml's elements carry no types


def open_package(data: bytes, what: str, suffix: str) -> zipfile.ZipFile:
    """The package in ``data``; ``what`` ("Word file") and ``suffix`` name it in errors.

    Raises DocumentRejected for what is no ZIP archive, is encrypted, or was made to fill the memory.
    """
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise DocumentRejected(f"it is an old or an encrypted Office file; save it as {suffix} without a password")
    try:
        package = zipfile.ZipFile(io.BytesIO(data))
        parts = package.infolist()
    except BROKEN as error:
        raise DocumentRejected(f"it is no {what}, or cut short; save it again as {suffix}") from error
    # zipfile never reads past the size a part declares, so the declared sizes bound what parsing takes.
    xml = sum(part.file_size for part in parts if part.filename.lower().endswith(_XML))
    total = sum(part.file_size for part in parts)
    if xml > MOST_XML or total > MOST_BYTES or len(parts) > MOST_PARTS:
        raise DocumentRejected(
            f"it unpacks to {total / 1e6:.0f} MB in {len(parts)} parts, at most {MOST_XML / 1e6:.0f} MB of XML, "
            f"{MOST_BYTES / 1e6:.0f} MB and {MOST_PARTS} parts are read; split the document"
        )
    if any(part.flag_bits & 1 for part in parts):
        raise DocumentRejected("it is encrypted; save it without a password")
    return package


def open_office(opener: Callable[[io.BytesIO], Any], data: bytes) -> Any:
    """What ``opener`` of python-docx or python-pptx makes of a checked package.

    Both want every part that a relationship names. LibreOffice writes links to a place in the document as if it were
    one ("#page-header"), and tools that shrink files drop pictures: such a package is opened without them.
    """
    try:
        return opener(io.BytesIO(data))
    except KeyError:
        return opener(io.BytesIO(_xml_parts(data)))


def _xml_parts(data: bytes) -> bytes:
    """The XML parts of a package, without relationships to parts that are not among them."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as package, zipfile.ZipFile(out, "w") as kept:
        names = {name for name in package.namelist() if name.lower().endswith(_XML)}
        for name in sorted(names):
            part = package.read(name)
            kept.writestr(name, _without_dangling(name, part, names) if name.endswith(".rels") else part)
    return out.getvalue()


def _without_dangling(name: str, part: bytes, names: set[str]) -> bytes:
    """Relationships in the part ``name`` ("word/_rels/document.xml.rels"), but for those to parts that are missing.

    Raises ValueError for one that leads out of the package: nobody writes that by mistake.
    """
    root = parse_xml(part)
    base = posixpath.dirname(posixpath.dirname(name))
    for relationship in list(root):
        if relationship.get("TargetMode") == "External":
            continue
        target = posixpath.normpath(posixpath.join(base, relationship.get("Target") or "")).lstrip("/")
        if target.startswith(".."):
            raise ValueError("a relationship leads out of the package")
        if target not in names:
            root.remove(relationship)
    found: bytes = etree.tostring(root)
    return found


def kind_of(data: bytes) -> str:
    """The suffix that fits the package in ``data``; "" for another ZIP archive or a broken one."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            names = package.namelist()
            if "mimetype" in names:
                with package.open("mimetype") as file:
                    return _MIMETYPES.get(file.read(100).strip(), "")
    except BROKEN:
        return ""
    if "[Content_Types].xml" not in names:
        return ""
    return next((suffix for folder, suffix in _OFFICE if any(name.startswith(folder) for name in names)), "")


def parse_xml(data: bytes) -> Element:
    """The root element of ``data``. Raises lxml's errors, which BROKEN holds."""
    return etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False))


def broken(what: str, suffix: str, error: Exception) -> DocumentRejected:
    """The error for a package whose parts cannot be read."""
    said = " ".join(str(error).split())[:100]
    return DocumentRejected(f"it is a broken {what} ({said}); save it again as {suffix}")
