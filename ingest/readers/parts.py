"""What reading a file gives: its one document, or the documents and rejected members of an archive."""

from __future__ import annotations

from dataclasses import dataclass

from rag.types import ParsedDocument


@dataclass(frozen=True, slots=True)
class Part:
    """A document of a file. ``member`` is its path within an archive, "" for the file itself; ``content_hash`` is the
    SHA-256 of the bytes it was read from."""

    member: str
    document: ParsedDocument
    content_hash: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A member of an archive that was not read, and why."""

    member: str
    reason: str
