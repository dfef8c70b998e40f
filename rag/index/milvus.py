"""The index in Milvus: one set of vectors for all processes, brought up to date by whichever searches first.

A process that sees the database's number move takes the collection's turn (Store.turn), reads from Milvus how far it
is, and writes what came and went since; so writing is in order and everything is written once, however many processes
there are. One that was killed on the way leaves an older note, and the rest is written again, to the same end.
Candidates are ranked by the vectors of the rows, so scores are exact cosines whatever Milvus's index, and what was
deleted is never given out, even where Milvus still has it.

Consistency: "Strong" for RECENT_S after a change, so that it is seen at once, and "Bounded" otherwise, which by default
lags at most 5 s behind and does not wait for Milvus's clock (docs/servers.md).
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from rag.index.interface import IndexOptions, IndexStats
from rag.index.milvus_server import FILTER_IDS, MilvusCollection, connect, hidden
from rag.store import Collection, Store
from rag.types import IndexBroken

log = structlog.get_logger()

FORMAT = 1
RECENT_S = 15.0  # three times the lag that Milvus's "Bounded" allows by default
TURN_S = 5.0  # how long a search waits for another process that writes
BUILD_S = 600.0  # how long a rebuild waits for its turn
_MOST_DEPTH = 16_000  # candidates of one search; Milvus refuses more than 16,384


@dataclass(frozen=True, slots=True)
class _Note:
    """What the collection in Milvus holds: up to change ``seq``, whose random mark is ``mark``."""

    format: int
    store: str
    encoder: str
    dimension: int
    kind: str
    seq: int
    mark: str


class MilvusIndex:
    """An Index (rag/index/interface.py) whose vectors are in Milvus."""

    def __init__(self, url: str, store: Store, options: IndexOptions = IndexOptions()):  # noqa: B008 (frozen)
        self._client = connect(url)
        self._where = hidden(url)
        self._store = store
        self._options = options
        self._views: dict[int, _View] = {}
        self._lock = threading.Lock()

    def search(
        self,
        collection: Collection,
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """See Index."""
        view = self._view(collection)
        view.refresh(TURN_S)
        return view.search(queries, k, allowed)

    def vectors(self, collection: Collection, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """See Index; they are read from the rows."""
        return self._store.chunks.vectors(ids, collection.dimension)

    def save(self, collection: Collection) -> None:
        """See Index."""
        self._view(collection).refresh(BUILD_S)

    def rebuild(self, collection: Collection) -> None:
        """See Index; searches go on over the old vectors meanwhile."""
        self._view(collection).rebuild()

    def stats(self, collection: Collection) -> IndexStats:
        """See Index."""
        return self._view(collection).stats("")

    def check(self, collection: Collection) -> IndexStats:
        """See Index."""
        return self._view(collection).check()

    def settle(self, collection: Collection) -> None:
        """Nothing goes on in the background here."""

    def drop(self, collection: Collection) -> None:
        """See Index."""
        self._view(collection).server.drop()
        with self._lock:
            self._views.pop(collection.id, None)

    def _view(self, collection: Collection) -> _View:
        with self._lock:
            view = self._views.get(collection.id)
            if view is None or view.collection != collection:  # new, or embedded anew by another encoder
                alias = f"answerable_{self._store.id[:12]}_{collection.id}"
                server = MilvusCollection(self._client, self._where, alias, self._options)
                view = self._views[collection.id] = _View(server, self._store, collection)
            return view


class _View:
    """One collection, as this process knows it."""

    def __init__(self, server: MilvusCollection, store: Store, collection: Collection):
        self.server, self.collection = server, collection
        self._store = store
        self._lock = threading.Lock()
        self._seen = -1  # the change up to which this process knows Milvus to be
        self._moved = -np.inf  # when that was
        self._problem = ""

    def refresh(self, wait_s: float) -> None:
        """Bring Milvus up to the last change, unless another process does and is not done in ``wait_s``."""
        if self._store.chunks.seq() == self._seen:
            return
        with self._lock, self._turn(wait_s) as mine:
            now = self._store.chunks.seq()
            if now == self._seen:
                return
            if not mine and self._seen < 0 and self._note() is None:
                raise IndexBroken(f"the index of {self.collection.name!r} is being built by another process; try again")
            if not mine:
                log.warning("index not up to date: another process writes", collection=self.collection.name)
                return
            note = self._note()
            if note is None:
                self._build()
            else:
                self._catch_up(note)
            self._moved = time.monotonic()

    def search(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """See Index.search."""
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        depth = min(_MOST_DEPTH, 2 * k + 10)  # more than asked for: some may be gone, and some are ranked wrongly
        strong = time.monotonic() - self._moved < RECENT_S
        parts: list[NDArray[np.int64] | None] = [None]
        if allowed is not None:
            parts = [allowed[first : first + FILTER_IDS] for first in range(0, len(allowed), FILTER_IDS)]
        candidates: list[list[int]] = [[] for _ in queries]
        for part in parts:
            for mine, found in zip(candidates, self.server.nearest(queries, depth, part, strong), strict=True):
                mine.extend(found)
        return self._ranked(queries, candidates, k)

    def rebuild(self) -> None:
        """A new collection from the rows, in place of what is there."""
        with self._lock, self._turn(BUILD_S) as mine:
            if not mine:
                raise IndexBroken(
                    f"the index of {self.collection.name!r} is being written by another process; try again"
                )
            self._build()
            self._moved = time.monotonic()
            self._problem = ""

    def check(self) -> IndexStats:
        """See Index.check."""
        self.refresh(BUILD_S)
        with self._lock, self._turn(BUILD_S):
            return self.stats(self._problem or self._compare())

    def stats(self, problem: str) -> IndexStats:
        """See Index.stats."""
        note = self._note()
        return IndexStats(
            collection=self.collection.name,
            kind=f"milvus {self.server.kind}",
            vectors=self.server.count(),
            fresh=0,
            rows=self._store.chunks.count(self.collection),
            seq=-1 if note is None else note.seq,
            bytes_on_disk=0,
            problem=problem or self._problem,
        )

    def _turn(self, wait_s: float) -> AbstractContextManager[bool]:
        return self._store.turn(f"index-{self.collection.id}", wait_s)

    def _ranked(
        self, queries: NDArray[np.float32], candidates: list[list[int]], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        every = np.unique(np.array([i for row in candidates for i in row], dtype=np.int64))
        vectors = self._store.chunks.vectors(every, self.collection.dimension)  # (C, D)
        here: NDArray[np.bool_] = np.asarray(vectors.any(axis=1))
        ids = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        for number, row in enumerate(candidates):
            places = np.searchsorted(every, np.unique(np.array(row, dtype=np.int64)))
            places = places[here[places]]
            cosines = vectors[places] @ queries[number]
            best = np.lexsort((every[places], -cosines))[:k]
            ids[number, : len(best)] = every[places[best]]
            scores[number, : len(best)] = cosines[best]
        return ids, scores

    def _note(self) -> _Note | None:
        """What Milvus holds, where that fits the database; None with the reason kept where it must be built anew."""
        written = self.server.note()
        if written is None:
            return None
        try:
            note = _Note(**json.loads(written))
        except (TypeError, ValueError) as error:
            self._problem = f"the note in Milvus cannot be read: {error}"
            return None
        expected = self._as_of(note.seq)
        if note != expected:
            self._problem = f"Milvus has {note}, the database {expected}: of another encoder, or of a restored backup"
            log.warning("index is built anew", reason=self._problem)
            return None
        return note

    def _as_of(self, seq: int) -> _Note:
        mark = self._store.chunks.mark(seq)
        collection = self.collection
        return _Note(FORMAT, self._store.id, collection.encoder, collection.dimension, self.server.kind, seq, mark)

    def _catch_up(self, note: _Note) -> None:
        changes = self._store.chunks.changes(self.collection, note.seq)
        if len(changes.deleted):
            self.server.remove(changes.deleted)
        if len(changes.ids):
            self.server.put(changes.ids, changes.vectors)
        if len(changes.deleted) or len(changes.ids):  # last: a kill before it means that the same is done again
            self._mark(changes.seq, "")
        self._seen = changes.seq

    def _build(self) -> None:
        draft = self.server.draft(self.collection.dimension)
        with self._store.chunks.snapshot(self.collection) as rows:
            for ids, vectors in rows.blocks:
                self.server.put(ids, vectors.astype(np.float32), draft)
        self._mark(rows.seq, draft)
        self.server.publish(draft)
        self._seen = rows.seq

    def _mark(self, seq: int, name: str) -> None:
        self.server.mark(json.dumps(asdict(self._as_of(seq))), self.collection.dimension, name)

    def _compare(self) -> str:
        truth = self._store.chunks.changes(self.collection, -1)
        extra = differing = found = 0
        for ids, vectors in self.server.stored():
            places = np.minimum(np.searchsorted(truth.ids, ids), max(0, len(truth.ids) - 1))
            here = truth.ids[places] == ids if len(truth.ids) else np.zeros(len(ids), dtype=np.bool_)
            extra += int((~here).sum())
            found += int(here.sum())
            differing += int((truth.vectors[places[here]] != vectors[here]).any(axis=1).sum()) if here.any() else 0
        lacking = len(truth.ids) - found
        if lacking or extra:
            return f"{lacking} rows are missing from the index, {extra} entries have no row"
        return f"{differing} vectors differ from their rows" if differing else ""
