"""Paths -> files to ingest: folders are walked, links that lead out of a folder are not followed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.readers import SUFFIXES, is_archive
from rag.types import InvalidInput


@dataclass(frozen=True, slots=True)
class Found:
    """A path met on the way: a file to read, or one left out for ``skipped``, the reason."""

    path: Path
    skipped: str = ""
    root: Path | None = None  # the folder it was met in, which it must not lead out of

    @property
    def uri(self) -> str:
        """The document's address: the absolute path."""
        return str(self.path)


def discover(paths: Sequence[Path]) -> Iterator[Found]:
    """Every file under ``paths``, folders in name order, each file once.

    A file named outright is always read, whatever its name; inside a folder, hidden files, files of a kind that no
    reader takes, what is no file (a pipe, a socket), and symbolic links that lead out of the folder are skipped with
    the reason. Raises InvalidInput for a path that does not exist.
    """
    seen: set[Path] = set()
    for path in paths:
        if not os.path.lexists(path):
            raise InvalidInput(f"{path} does not exist; give a file or a folder")
    for path in paths:
        root = path.resolve()
        for found in _walk(root) if root.is_dir() else (Found(root),):
            if found.path not in seen:
                seen.add(found.path)
                yield found


def _walk(root: Path) -> Iterator[Found]:
    if not os.access(root, os.R_OK | os.X_OK):
        yield Found(root, "folder cannot be read; fix its permissions", root)
    for folder, folders, files in os.walk(root, onerror=None):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(folder)
        yield from (
            Found(here / name, "folder cannot be read; fix its permissions", root) for name in _closed(here, folders)
        )
        for name in sorted(files):
            yield Found(here / name, _reason_to_skip(here / name, root), root)


def _closed(here: Path, folders: list[str]) -> list[str]:
    return [name for name in folders if not os.access(here / name, os.R_OK | os.X_OK)]


def _reason_to_skip(path: Path, root: Path) -> str:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "file name is not UTF-8; rename it"
    if path.name.startswith("."):
        return "hidden file"
    if path.suffix.lower() not in SUFFIXES and not is_archive(path.name):
        return f"no reader for {path.suffix or 'files without a suffix'}"
    if path.is_symlink() and not path.resolve().is_relative_to(root):
        return "symbolic link out of the folder"
    if path.exists() and not path.is_file():
        return "no plain file"
    return ""
