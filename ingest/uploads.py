"""Uploaded files: checked names, a place for each job until its turn comes, and their place for good.

HOME/uploads/.staging/<job id>/<name>     taken, not read yet
HOME/uploads/<collection>/<name>          the document's file; its path is the document's uri
"""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from ingest.readers import SUFFIXES
from rag.types import InvalidInput

MAX_NAME_BYTES = 200


def check_name(name: str) -> str:
    """``name`` itself, when it can be the name of a document's file.

    Raises InvalidInput for a path, a hidden file, control characters, a name too long, and a kind that no reader takes.
    """
    shown = f"{name!r:.120}"
    if not name or name in (".", ".."):
        raise InvalidInput(f"file name {shown}: give the file a name")
    if "/" in name or "\\" in name:
        raise InvalidInput(f"file name {shown} is a path; send the bare name")
    if name.startswith("."):
        raise InvalidInput(f"file name {shown} is that of a hidden file; rename it")
    if any(unicodedata.category(char) in ("Cc", "Cs", "Cf") for char in name):
        raise InvalidInput(f"file name {shown} holds characters that cannot be seen; rename it")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise InvalidInput(f"file name {shown} has over {MAX_NAME_BYTES} bytes; shorten it")
    if Path(name).suffix.lower() not in SUFFIXES:
        raise InvalidInput(f"file name {shown}: no reader for this kind; files that are read: {', '.join(SUFFIXES)}")
    return name


def staging(uploads: Path, job_id: str) -> Path:
    """Where the files of a job lie until they are read."""
    return uploads / ".staging" / job_id


def settle(uploads: Path, job_id: str, collection: str, files: Sequence[str]) -> list[Path]:
    """Move a job's files to their place for good; those that an earlier, broken run has moved are there already."""
    target = uploads / collection
    target.mkdir(parents=True, exist_ok=True)
    for name in files:
        waiting = staging(uploads, job_id) / name
        if waiting.exists():
            os.replace(waiting, target / name)  # noqa: PTH105 - as one step, over an older file of that name
    shutil.rmtree(staging(uploads, job_id), ignore_errors=True)
    return [target / name for name in files if (target / name).exists()]


def forget(uploads: Path, uri: str) -> None:
    """Delete the file of a document that is gone, if it was an upload."""
    path = Path(uri)
    if path.is_absolute() and path.parent.parent == uploads.resolve() and not path.is_symlink():
        path.unlink(missing_ok=True)
