"""File names -> titles, for documents that name none themselves."""

from __future__ import annotations

from pathlib import PurePath

from ingest.normalise import inline


def title_of(name: str) -> str:
    """The file name without folders and suffix, in words: "staff_hand-book.txt" is "staff hand-book"."""
    stem = PurePath(name.replace("\\", "/")).stem
    return inline(stem.replace("_", " ")) or inline(name)
