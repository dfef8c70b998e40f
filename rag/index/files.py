"""The files of a saved index, and the only way to them: written whole, checked before use, never changed in place.

    manifest.json        what the files beside it hold, with their checksums; replaced last, atomically
    ids-<seq>.npy        chunk ids (N,), int64, rising
    vectors-<seq>.npy    their vectors (N, D), float16, as in the rows of the database
    lists-<seq>.faiss    the FAISS index over them, numbered by row (none for exact, which is made of the vectors)

Nothing is pickled: numpy is told to refuse, FAISS's format has none. A reader keeps what it opened: a file that was
replaced since stays readable until it is closed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the files hold; every field must fit the database, or they are not used. ``files``: name -> SHA-256."""

    format: int
    kind: str
    metric: str
    store: str
    collection: int
    encoder: str
    dimension: int
    count: int
    seq: int
    mark: str
    files: Mapping[str, str]


class StoredVectors:
    """The vectors of an index by row, (N, D): an array in memory, or a file that is read row by row.

    Rows are read by offset and not through a mapping: a mapped file grows the memory of the process page by page, and
    kills it when somebody cuts the file short.
    """

    def __init__(self, array: NDArray[np.float16], file: Path | None = None):
        self.array = array  # for a file: mapped, for reading it from end to end
        self._row_bytes = 2 * array.shape[1]
        self._handle = -1 if file is None else os.open(file, os.O_RDONLY)
        self._offset = 0 if file is None else _data_offset(file)

    def __del__(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)

    def rows(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Those rows as fp32, (M, D). Raises OSError where the file has become shorter than it was."""
        if self._handle < 0:
            return self.array[numbers].astype(np.float32)
        parts = [os.pread(self._handle, self._row_bytes, self._offset + int(n) * self._row_bytes) for n in numbers]
        data = np.frombuffer(b"".join(parts), dtype="<f2")
        if len(data) != len(numbers) * self.array.shape[1]:
            raise OSError("the file of the vectors was cut short while it was in use")
        return data.reshape(len(numbers), -1).astype(np.float32)


def read_manifest(folder: Path) -> Manifest:
    """Raises OSError without one, ValueError or TypeError for one that cannot be understood."""
    fields = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
    manifest = Manifest(**fields)
    if not isinstance(manifest.files, dict):
        raise ValueError(f"{folder / MANIFEST_FILE} lists no files")
    return manifest


def difference(found: Manifest, expected: Manifest) -> str:
    """The fields in which the two differ, in words."""
    pairs = zip(asdict(found).items(), asdict(expected).values(), strict=True)
    return ", ".join(f"{key} is {value!r}, expected {wanted!r}" for (key, value), wanted in pairs if value != wanted)


def check_files(folder: Path, manifest: Manifest) -> dict[str, Path]:
    """The files by the first part of their name. Raises OSError for one that is gone, ValueError for an altered one."""
    found = {}
    for name, sha256 in manifest.files.items():
        path = folder / Path(name).name
        if sha256_of(path) != sha256:
            raise ValueError(f"{path} was altered or cut short")
        found[path.name.split("-")[0]] = path
    return found


def read_array(path: Path, *, mapped: bool) -> NDArray[Any]:
    """An array of ours. Raises OSError, ValueError."""
    array: NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    return array


def read_lists(path: Path, *, mapped: bool) -> Any:
    """The FAISS index of a file, read-only where ``mapped``. Raises RuntimeError (FAISS's) for a broken one."""
    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY if mapped else 0)


def write_lists(index: Any, path: Path) -> None:
    """Raises OSError: FAISS's own errors carry the number only in their words."""
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        raise OSError(str(error).splitlines()[-1]) from error


def publish(folder: Path, drafts: Mapping[str, Path], describe: Callable[[dict[str, str]], Manifest]) -> None:
    """Give the drafts (name -> draft) their names and replace the manifest: a reader sees the old set or the new one.

    Raises OSError; the old set is whole then.
    """
    for draft in drafts.values():
        _sync(draft)
    manifest = describe({name: sha256_of(draft) for name, draft in drafts.items()})
    for name, draft in drafts.items():
        draft.replace(folder / name)
    text = folder / f"{MANIFEST_FILE}.{os.getpid()}.draft"
    with text.open("w", encoding="utf-8") as out:
        json.dump(asdict(manifest), out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    text.replace(folder / MANIFEST_FILE)
    _sync(folder)
    for old in data_files(folder):
        if old.name not in drafts:
            old.unlink(missing_ok=True)


def data_files(folder: Path) -> list[Path]:
    """The index's files in ``folder``, the manifest left out."""
    return [*folder.glob("*.npy"), *folder.glob("*.faiss")] if folder.is_dir() else []


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _data_offset(path: Path) -> int:
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        return file.tell()
