"""Opening a file to ingest: a plain file inside its folder, small enough, and hashed as it is now."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ingest.discover import Found
from rag.types import DocumentRejected

_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class OpenFile:
    """An open file, its size in bytes, when it last changed (ns), and the SHA-256 of what it held."""

    descriptor: int
    size: int
    changed_ns: int
    content_hash: str

    def still(self) -> bool:
        """Whether the file is as it was when it was opened."""
        now = os.fstat(self.descriptor)
        return (now.st_size, now.st_mtime_ns) == (self.size, self.changed_ns)


@contextmanager
def open_file(found: Found, most_bytes: int) -> Iterator[OpenFile]:
    """The file at ``found``. Raises DocumentRejected for what is no plain file, is too large or may not be read.

    A pipe is not waited for, and a link that was put in a file's place since the folder was listed is not followed out
    of the folder.
    """
    name = found.path.name
    try:
        descriptor = os.open(found.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise DocumentRejected(f"{name} cannot be read: {error.strerror}; check its permissions") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DocumentRejected(f"{name} is no plain file; only files are read")
        if found.root is not None and not Path(os.path.realpath(f"/proc/self/fd/{descriptor}")).is_relative_to(
            found.root
        ):
            raise DocumentRejected(f"{name} leads out of the folder; ingest the file itself")
        if status.st_size > most_bytes:
            raise DocumentRejected(
                f"{name} has {status.st_size / 1e6:.1f} MB, at most {most_bytes / 1e6:g} MB are read; "
                "raise ANSWERABLE_MAX_FILE_MB"
            )
        yield OpenFile(descriptor, status.st_size, status.st_mtime_ns, _hash(name, descriptor))
    finally:
        os.close(descriptor)


def _hash(name: str, descriptor: int) -> str:
    digest = hashlib.sha256()
    try:
        at = 0
        while block := os.pread(descriptor, _AT_ONCE, at):
            digest.update(block)
            at += len(block)
    except OSError as error:
        raise DocumentRejected(f"{name} cannot be read: {error.strerror}; check the disk") from error
    return digest.hexdigest()
