"""Files -> normalised text with the map back to pages, headings and blocks. One module a format.

The suffix says which reader takes a file; what the bytes hold is checked, and a PDF, Office file or archive under
another's name goes to its own reader. Every reader has a version: raise it when the text it makes of the same bytes
changes, and the next run reads its files again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType
from typing import BinaryIO

from ingest.readers import (
    archive,
    delimited,
    docx,
    epub,
    html,
    mail,
    markdown,
    notebook,
    odt,
    pdf,
    pptx,
    records,
    rst,
    rtf,
    sheet,
    source,
    txt,
)
from ingest.readers.package import kind_of
from ingest.readers.parts import Part, Rejected
from rag.types import DocumentRejected, ParsedDocument

__all__ = ["CURRENT", "SUFFIXES", "Reader", "archive_version", "is_archive", "read_document", "read_file"]

Beat = Callable[[float], None]  # asks for so many seconds more


@dataclass(frozen=True, slots=True)
class Reader:
    """``version``, such as "pdf/1", goes into the document; ``read`` takes the file's name and bytes."""

    version: str
    read: Callable[[str, bytes], ParsedDocument]


_TXT = Reader(txt.VERSION, txt.read_txt)
_PDF = Reader(pdf.VERSION, pdf.read_pdf)
_RTF = Reader(rtf.VERSION, rtf.read_rtf)
_SHEET = Reader(sheet.VERSION, sheet.read_sheet)
_ODT = Reader(odt.VERSION, odt.read_odt)

_BY_READER = {
    _TXT: ".txt .text .log",
    Reader(markdown.VERSION, markdown.read_markdown): ".md .markdown",
    Reader(rst.VERSION, rst.read_rst): ".rst",
    Reader(html.VERSION, html.read_html): ".html .htm .xhtml",
    _PDF: ".pdf",
    Reader(docx.VERSION, docx.read_docx): ".docx",
    Reader(pptx.VERSION, pptx.read_pptx): ".pptx",
    _SHEET: ".xlsx .xlsm .xls .ods",
    Reader(delimited.VERSION, delimited.read_csv): ".csv .tsv",
    _ODT: ".odt",
    _RTF: ".rtf",
    Reader(epub.VERSION, epub.read_epub): ".epub",
    Reader(mail.VERSION, mail.read_mail): ".eml .mbox",
    Reader(notebook.VERSION, notebook.read_notebook): ".ipynb",
    Reader(records.VERSION, records.read_json): ".json .jsonl .ndjson",
    Reader(source.VERSION, source.read_source): source.SUFFIXES,
}
SUFFIXES: Mapping[str, Reader] = MappingProxyType(
    {suffix: reader for reader, suffixes in _BY_READER.items() for suffix in suffixes.split()}
)
CURRENT = frozenset(reader.version for reader in _BY_READER)  # what was read by another version is read again

# What the bytes begin with counts for more than the name: nothing else begins so.
_SIGNATURES = ((b"%PDF-", _PDF), (b"{\\rtf", _RTF))
_PACKAGES = {".docx", ".pptx", ".xlsx", ".xlsm", ".ods", ".odt", ".epub"}


def is_archive(name: str) -> bool:
    """Whether the file ``name`` is read as an archive of files."""
    return archive.kind(name) != ""


def archive_version() -> str:
    """The version under which an archive was read: that of every reader its members may go to."""
    return f"{archive.VERSION}/{hashlib.sha256(' '.join(sorted(CURRENT)).encode()).hexdigest()[:12]}"


def read_file(name: str, file: BinaryIO, most_bytes: int, beat: Beat | None = None) -> Iterator[Part | Rejected]:
    """The one document of ``file``, or those of the archive it is; ``most_bytes`` bounds what is read of it.

    ``beat`` is told when a page takes long that may, such as one that is recognised. Raises DocumentRejected.
    """
    shown = PurePath(name).name or name
    if is_archive(name):
        limits = archive.Bounds(most_bytes)
        yield from archive.read_archive(shown, file, limits, lambda member, data: read_document(member, data, beat))
        return
    data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise DocumentRejected(f"{shown}: it grew beyond {most_bytes / 1e6:g} MB while it was read; ingest it again")
    yield Part("", read_document(name, data, beat), hashlib.sha256(data).hexdigest())


def read_document(name: str, data: bytes, beat: Beat | None = None) -> ParsedDocument:
    """Reads the file ``name`` (its path or file name; the suffix counts) with the bytes ``data``.

    Raises DocumentRejected, in one line with name, reason and cure, for an unknown suffix, an empty, broken or
    encrypted file, one that holds no text, and binary data under the name of a text.
    """
    shown = PurePath(name).name or name
    try:
        if not data.strip(b"\0 \t\r\n"):
            raise DocumentRejected("the file is empty; nothing to ingest")
        reader = _choose(name, data)
        return pdf.read_pdf(name, data, beat) if reader is _PDF else reader.read(name, data)
    except DocumentRejected as error:
        raise DocumentRejected(f"{shown}: {error}") from error


def _choose(name: str, data: bytes) -> Reader:
    suffix = PurePath(name).suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise DocumentRejected(f"no reader for {suffix or 'a file without a suffix'}; files that are read: {known}")
    if data.startswith(b"PK\x03\x04"):
        found = kind_of(data)
        if found and (suffix not in _PACKAGES or found not in (suffix, ".xlsx")):
            return SUFFIXES[found]
        if suffix in _PACKAGES:
            return SUFFIXES[suffix]
    return next((reader for mark, reader in _SIGNATURES if data.startswith(mark)), SUFFIXES[suffix])
