"""The vector index: a FAISS view of the rows of each collection, in memory, saved under HOME/index, always rebuildable.

    HOME/index/<store>-<collection id>/manifest.json     what the file beside it holds; replaced last, atomically
    HOME/index/<store>-<collection id>/vectors-<seq>.faiss

A view remembers the sequence number it has seen. Each search first asks the database for its number and, when that
moved, reads what came and went since: that is how a server sees what another process ingested or deleted. Files that
are missing, cut short, altered, of another database, or ahead of it (a restored backup) are dropped and the view is
built again from the rows; nothing is embedded again. FAISS stays inside this file.

On a GPU the same flat index is kept on the CPU as the master copy and cloned to the device after each change; searches
run on the clone, saving writes the master. This path is covered by tests only as far as a machine without a GPU allows.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import structlog
from filelock import FileLock
from numpy.typing import NDArray

from rag.store import Changes, Collection, Store
from rag.types import IndexBroken

log = structlog.get_logger()

FORMAT = 1
SAVE_AFTER = 5_000  # rows caught up on since the last save, above which a search saves what it built


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an index file holds; every field must fit the database, or the file is not used."""

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
    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class IndexStats:
    """Size of a collection's index, whether its file was usable, and how it fits the rows."""

    collection: str
    kind: str
    vectors: int
    rows: int
    seq: int
    bytes_on_disk: int
    problem: str


class VectorIndex:
    """Exact inner-product search over unit vectors, one view a collection. Safe to use from several threads."""

    def __init__(self, folder: Path, store: Store, device: str = "cpu"):
        self._folder = folder
        self._store = store
        self._device = device
        self._views: dict[int, _View] = {}
        self._lock = threading.Lock()

    def search(
        self, collection: Collection, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The ``k`` nearest chunks of each query: ids and cosines, both (Q, k), best first.

        ``queries``: (Q, D) float32, unit rows. Where fewer than k chunks exist, ids are -1 and cosines -inf.
        """
        view = self._view(collection)
        view.refresh()
        return view.search(queries, k)

    def vectors(self, collection: Collection, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of those chunk ids, shape (N, D); a row of zeros for an id that is gone."""
        return self._view(collection).vectors(ids)

    def save(self, collection: Collection) -> None:
        """Catch up, and write the index file if it is behind."""
        view = self._view(collection)
        view.refresh()
        view.save()

    def rebuild(self, collection: Collection) -> None:
        """Build the view again from the rows, and write it."""
        view = self._view(collection)
        view.rebuild()
        view.save()

    def stats(self, collection: Collection) -> IndexStats:
        """How the saved file and the view fit the rows, without changing either."""
        return self._view(collection).stats()

    def check(self, collection: Collection) -> IndexStats:
        """The same after catching up, with the view compared to the rows id by id and vector by vector."""
        return self._view(collection).check()

    def drop(self, collection: Collection) -> None:
        """Forget a deleted collection and remove its files."""
        with self._lock:
            self._views.pop(collection.id, None)
        shutil.rmtree(self._folder_of(collection), ignore_errors=True)

    def _folder_of(self, collection: Collection) -> Path:
        return self._folder / f"{self._store.id[:12]}-{collection.id}"

    def _view(self, collection: Collection) -> _View:
        with self._lock:
            view = self._views.get(collection.id)
            if view is None or view.collection != collection:  # new, or embedded anew by another encoder
                view = _View(self._folder_of(collection), self._store, collection, self._device)
                self._views[collection.id] = view
            return view


class _View:
    """The index of one collection; all work on it is done under its lock, as FAISS wants it."""

    def __init__(self, folder: Path, store: Store, collection: Collection, device: str):
        self.collection = collection
        self._folder = folder
        self._store = store
        self._device = device
        self._lock = threading.RLock()
        self._saved_seq = -1
        self._pending = 0
        self.problem = ""
        self._index, self._seq = self._load()
        self._searcher = _on_device(self._index, device)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        with self._lock:
            scores, ids = self._searcher.search(np.ascontiguousarray(queries, dtype=np.float32), k)
        return ids, np.where(ids >= 0, scores, -np.inf).astype(np.float32)

    def vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        found = np.zeros((len(ids), self.collection.dimension), dtype=np.float32)
        with self._lock:
            for row, chunk_id in enumerate(ids):
                try:
                    found[row] = self._index.reconstruct(int(chunk_id))
                except RuntimeError:  # FAISS's way of saying that it has no such id: deleted a moment ago
                    continue
        return found

    def refresh(self) -> None:
        """Take over what came and went since the sequence number last seen."""
        with self._lock:
            if self._store.chunks.seq() == self._seq:
                return
            changes = self._store.chunks.changes(self.collection, self._seq)
            self._apply(changes)
            if self._pending > SAVE_AFTER:
                self.save()

    def rebuild(self) -> None:
        with self._lock:
            self._index = _empty(self.collection.dimension)
            self._seq, self._saved_seq = -1, -1
            self.problem = ""
            self._apply(self._store.chunks.changes(self.collection, -1))

    def save(self) -> None:
        """Write the file under a new name, then replace the manifest: a reader sees the old pair or the new one."""
        with self._lock:
            if self._saved_seq == self._seq:
                return
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                with FileLock(self._folder / "write.lock"):
                    self._write()
            except OSError as error:
                raise IndexBroken(
                    f"cannot write the index to {self._folder}: {error.strerror or error}; the rows are safe: mend the "
                    "cause and run: answerable index rebuild"
                ) from error
            self._saved_seq, self._pending = self._seq, 0

    def stats(self) -> IndexStats:
        with self._lock:
            rows = self._store.chunks.count(self.collection)
            size = sum(f.stat().st_size for f in self._folder.glob("*.faiss")) if self._folder.is_dir() else 0
            name = self.collection.name
            return IndexStats(name, "exact", self._index.ntotal, rows, self._seq, size, self.problem)

    def check(self) -> IndexStats:
        with self._lock:
            self.refresh()
            truth = self._store.chunks.changes(self.collection, -1)
            ids = np.sort(faiss.vector_to_array(self._index.id_map)) if self._index.ntotal else truth.ids[:0]
            if not self.problem and not np.array_equal(ids, truth.ids):
                lacking, extra = np.setdiff1d(truth.ids, ids), np.setdiff1d(ids, truth.ids)
                self.problem = f"{len(lacking)} rows are missing from the index, {len(extra)} entries have no row"
            elif not self.problem and not np.array_equal(self.vectors(truth.ids), truth.vectors):
                self.problem = "some vectors differ from their rows"
            return self.stats()

    def _apply(self, changes: Changes) -> None:
        stale = np.concatenate([changes.deleted, changes.ids])  # an id that came again has a new vector
        if self._index.ntotal and len(stale):
            self._index.remove_ids(stale)
        if len(changes.ids):
            self._index.add_with_ids(changes.vectors, changes.ids)
        if len(stale):
            self._searcher = _on_device(self._index, self._device)
        self._pending += len(stale)
        self._seq = changes.seq

    def _load(self) -> tuple[Any, int]:
        """The saved index and its sequence number; an empty one and -1 when there is none that fits."""
        manifest_path = self._folder / "manifest.json"
        try:
            if manifest_path.exists():
                index, seq = self._read(manifest_path)
                self._saved_seq = seq
                return index, seq
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            self.problem = str(error).splitlines()[0]
            log.warning("index file not used, building from the rows", folder=str(self._folder), reason=self.problem)
        return _empty(self.collection.dimension), -1

    def _read(self, manifest_path: Path) -> tuple[Any, int]:
        manifest = Manifest(**json.loads(manifest_path.read_text("utf-8")))
        now = self._store.chunks.seq()
        if manifest.seq > now:
            raise ValueError(f"index is at change {manifest.seq}, the database at {now}: it was restored from a backup")
        expected = self._manifest(manifest.seq, manifest.count, manifest.file, manifest.sha256)
        if manifest != expected:
            raise ValueError(f"manifest {manifest_path} does not fit the database: {_difference(manifest, expected)}")
        path = self._folder / Path(manifest.file).name
        if _sha256(path) != manifest.sha256:
            raise ValueError(f"{path} was altered or cut short")
        index = faiss.read_index(str(path))
        if index.ntotal != manifest.count or index.d != self.collection.dimension:
            raise ValueError(f"{path} holds {index.ntotal} vectors of {index.d}, its manifest says {manifest.count}")
        return index, manifest.seq

    def _write(self) -> None:
        name = f"vectors-{self._seq}.faiss"
        draft = self._folder / f"{name}.{os.getpid()}.draft"
        faiss.write_index(self._index, str(draft))
        manifest = self._manifest(self._seq, self._index.ntotal, name, _sha256(draft))
        draft.replace(self._folder / name)
        text = self._folder / f"manifest.json.{os.getpid()}.draft"
        with text.open("w", encoding="utf-8") as out:
            json.dump(asdict(manifest), out, indent=1)
            out.flush()
            os.fsync(out.fileno())
        text.replace(self._folder / "manifest.json")
        for old in self._folder.glob("vectors-*"):
            if old.name != name:
                old.unlink(missing_ok=True)

    def _manifest(self, seq: int, count: int, file: str, sha256: str) -> Manifest:
        collection = self.collection
        return Manifest(
            format=FORMAT,
            kind="exact",
            metric="inner_product",
            store=self._store.id,
            collection=collection.id,
            encoder=collection.encoder,
            dimension=collection.dimension,
            count=count,
            seq=seq,
            mark=self._store.chunks.mark(seq),
            file=file,
            sha256=sha256,
        )


def _empty(dimension: int) -> Any:
    return faiss.IndexIDMap2(faiss.IndexFlatIP(dimension))


def _on_device(index: Any, device: str) -> Any:
    """``index`` itself on the CPU; a clone on the first GPU where one is wanted and there."""
    if device != "cuda" or not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
        return index
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)


def _difference(found: Manifest, expected: Manifest) -> str:
    pairs = zip(asdict(found).items(), asdict(expected).values(), strict=True)
    return ", ".join(f"{key} is {value!r}, expected {wanted!r}" for (key, value), wanted in pairs if value != wanted)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
