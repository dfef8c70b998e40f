"""Archives: the files in a zip, tar or gz file as documents of their own, read in memory, never unpacked to disk.

Bounds on members, bytes and nesting are checked while bytes come, not by what the archive says of itself. A member
whose path leads out of the archive, a link, or a device is left out; so is what no reader takes.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, BinaryIO, cast

from ingest.readers.parts import Part, Rejected
from rag.types import DocumentRejected, ParsedDocument

VERSION = "archive/1"

_KINDS = {
    ".zip": "zip",
    ".tar": "tar",
    ".tgz": "tar",
    ".tar.gz": "tar",
    ".tar.bz2": "tar",
    ".tar.xz": "tar",
    ".gz": "gz",
    ".bz2": "bz2",
    ".xz": "xz",
}
_OPENERS: dict[str, Callable[[BinaryIO], IO[bytes]]] = {
    "gz": lambda file: cast("IO[bytes]", gzip.GzipFile(fileobj=file)),
    "bz2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
}
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
)
_CHUNK = 1 << 20

Read = Callable[[str, bytes], ParsedDocument]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Largest member in bytes, members and bytes in all, and how much smaller packed bytes may be than unpacked."""

    member: int
    members: int = 20_000
    total: int = 2_000_000_000


class TooMuch(DocumentRejected):
    """The archive as a whole passes a bound: reading stops there."""


def kind(name: str) -> str:
    """The kind of archive that ``name`` says it is: "zip", "tar", "gz", "bz2", "xz", or "" for none."""
    lower = name.lower()
    return next((kind for suffix, kind in _KINDS.items() if lower.endswith(suffix) and suffix.count(".") == 2), "") or (
        _KINDS.get(PurePosixPath(lower).suffix, "")
    )


def read_archive(name: str, file: BinaryIO, bounds: Bounds, read: Read) -> Iterator[Part | Rejected]:
    """The documents in ``file`` and the members that were not read. Raises DocumentRejected for the whole archive."""
    spent = 0
    try:
        for number, (member, open_member) in enumerate(_members(name, file)):
            if number >= bounds.members:
                raise TooMuch(f"it holds over {bounds.members} files; split it")
            reason = _unsafe(member) or ("" if open_member else "a link or a device in an archive is not read")
            if reason or open_member is None:
                yield Rejected(member, reason)
                continue
            try:
                data = _take(open_member, bounds.member, bounds.total - spent)
            except TooMuch:
                raise
            except DocumentRejected as error:
                spent += bounds.member
                yield Rejected(member, str(error))
                continue
            spent += len(data)
            yield _part(member, data, read)
    except TooMuch as error:
        raise DocumentRejected(f"{name}: {error}") from error
    except _BROKEN as error:
        said = " ".join(str(error).split())[:100]
        raise DocumentRejected(f"{name}: it is a broken archive ({said}); pack it again") from error


def _part(member: str, data: bytes, read: Read) -> Part | Rejected:
    try:
        if kind(member):
            raise DocumentRejected(f"{member}: an archive within an archive is not read; unpack it")
        return Part(member, read(member, data), hashlib.sha256(data).hexdigest())
    except DocumentRejected as error:
        return Rejected(member, str(error))
    except (MemoryError, RecursionError) as error:
        return Rejected(member, f"{member}: reader crashed: {type(error).__name__}")


def _members(name: str, file: BinaryIO) -> Iterator[tuple[str, Callable[[], IO[bytes]] | None]]:
    """Path and opener of each file in the archive, folders left out; no opener for what is no plain file."""
    match kind(name):
        case "zip":
            with zipfile.ZipFile(file) as archive:
                for part in archive.infolist():
                    if not part.is_dir():
                        link = (part.external_attr >> 16) & 0o170000 == 0o120000
                        yield part.filename, None if link else _zip_opener(archive, part)
        case "tar":
            with tarfile.open(fileobj=file, mode="r:*") as tar:
                for entry in tar:
                    if not entry.isdir():
                        yield entry.name, _tar_opener(tar, entry) if entry.isfile() else None
                    tar.members = []  # type: ignore[attr-defined]  # else it keeps a record of every member
        case packed:
            inner = PurePosixPath(name).stem
            yield inner, lambda: _OPENERS[packed](file)


def _zip_opener(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: archive.open(part)


def _tar_opener(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def opener() -> IO[bytes]:
        opened = tar.extractfile(entry)
        assert opened is not None  # only for what is no plain file
        return opened

    return opener


def _take(open_member: Callable[[], IO[bytes]], most: int, rest: int) -> bytes:
    """The bytes of a member. Raises DocumentRejected for one over ``most`` and TooMuch for one over ``rest``."""
    data = bytearray()
    try:
        opened = open_member()
    except RuntimeError as error:  # zipfile's way of saying that it wants a password
        raise DocumentRejected(f"it cannot be unpacked ({error}); pack it without a password") from error
    with opened:
        while block := opened.read(_CHUNK):
            data += block
            if len(data) > rest:
                raise TooMuch("it unpacks to more than an archive may hold; split it")
            if len(data) > most:
                raise DocumentRejected(f"it unpacks to over {most / 1e6:g} MB; raise ANSWERABLE_MAX_FILE_MB")
    return bytes(data)


def _unsafe(member: str) -> str:
    path = PurePosixPath(member.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in member or ":" in path.parts[0][:2] if path.parts else True:
        return f"its path {member[:80]!r} leads out of the archive; not read"
    return ""
