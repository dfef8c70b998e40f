"""Files -> normalised text with the map back to pages, headings and blocks. One module a format.

The suffix says which reader takes a file; what the bytes hold is checked, and a PDF or Word file under a text's name
goes to its own reader. Every reader has a version: raise it when the text it makes of the same bytes changes, and the
next run reads its files again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType

from ingest.readers import docx, html, markdown, pdf, txt
from rag.types import DocumentRejected, ParsedDocument

__all__ = ["SUFFIXES", "Reader", "read_document", "reader_version"]


@dataclass(frozen=True, slots=True)
class Reader:
    """``version``, such as "pdf/1", goes into the document; ``read`` takes the file's name and bytes."""

    version: str
    read: Callable[[str, bytes], ParsedDocument]


_TXT = Reader(txt.VERSION, txt.read_txt)
_MARKDOWN = Reader(markdown.VERSION, markdown.read_markdown)
_HTML = Reader(html.VERSION, html.read_html)
_PDF = Reader(pdf.VERSION, pdf.read_pdf)
_DOCX = Reader(docx.VERSION, docx.read_docx)

SUFFIXES: Mapping[str, Reader] = MappingProxyType(
    {
        ".txt": _TXT,
        ".md": _MARKDOWN,
        ".markdown": _MARKDOWN,
        ".html": _HTML,
        ".htm": _HTML,
        ".pdf": _PDF,
        ".docx": _DOCX,
    }
)
# What the bytes begin with counts for more than the name: nothing else begins so.
_SIGNATURES = ((b"%PDF-", _PDF), (b"PK\x03\x04", _DOCX))


def read_document(name: str, data: bytes) -> ParsedDocument:
    """Reads the file ``name`` (its path or file name; the suffix counts) with the bytes ``data``.

    Raises DocumentRejected, in one line with name, reason and cure, for an unknown suffix, an empty, broken or
    encrypted file, one that holds no text, and binary data under the name of a text.
    """
    shown = PurePath(name).name or name
    try:
        if not data.strip(b"\0 \t\r\n"):
            raise DocumentRejected("the file is empty; nothing to ingest")
        return _choose(name, data).read(name, data)
    except DocumentRejected as error:
        raise DocumentRejected(f"{shown}: {error}") from error


def reader_version(name: str, data: bytes = b"") -> str:
    """The version of the reader that would take the file, without reading it; ``data`` may be its first bytes.

    Raises DocumentRejected for an unknown suffix.
    """
    return _choose(name, data).version


def _choose(name: str, data: bytes) -> Reader:
    suffix = PurePath(name).suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise DocumentRejected(f"no reader for {suffix or 'a file without a suffix'}; files that are read: {known}")
    return next((reader for mark, reader in _SIGNATURES if data.startswith(mark)), SUFFIXES[suffix])
