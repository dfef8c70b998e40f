"""The index of one collection: a sealed main index, the changes since, and the merging of both.

A view remembers the number of the last change it has seen. Each search first asks the database for its number and, when
that moved, reads what came and went since: that is how a server sees what another process ingested or deleted. What
came goes into the side index, what went is left out at once; when the side index has grown, both are merged in the
background, from the rows, while searches go on over what there is.
"""

from __future__ import annotations

import threading
import time

import numpy as np
import structlog
from numpy.typing import NDArray

from rag.index import fresh
from rag.index.build import Shelf
from rag.index.families import Family
from rag.index.files import data_files
from rag.index.fresh import Fresh
from rag.index.interface import IndexStats
from rag.index.sealed import Sealed, empty
from rag.store import Changes
from rag.types import IndexBroken

log = structlog.get_logger()

MERGE_SHARE = 0.05  # of the main index: changes beyond it are merged
MERGE_LEAST, MERGE_MOST = 2_000, 10_000  # ...but at least and at most so many: the side index is searched one by one
RETRY_S = 60.0  # after a merge that failed


class View:
    """Safe to use from several threads: the lock is held to change what is seen, not while searching."""

    def __init__(self, shelf: Shelf):
        self.shelf = shelf
        self.problem = ""
        self._lock = threading.RLock()
        self._merging: threading.Thread | None = None
        self._not_before = 0.0
        self._adopt(self._load())

    def search(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The ``k`` nearest: ids and cosines, (Q, k), best first; ``allowed``: ids to keep to, rising; None for all."""
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        with self._lock:
            sealed, alive, side = self._sealed, self._alive, self._fresh.snapshot()
        if allowed is not None:
            places = sealed.places(allowed)
            mask = np.zeros(len(sealed.ids), dtype=np.bool_)
            mask[places[places >= 0]] = True
            alive = mask if alive is None else mask & alive
        ids, scores = sealed.search(queries, k, alive)
        if not len(side.ids):
            return ids, scores
        side_ids, side_scores = fresh.search(side, queries, k, allowed)
        return _merged(np.hstack([ids, side_ids]), np.hstack([scores, side_scores]), k)

    def vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of those ids, (N, D); zeros for one that is gone."""
        found = np.zeros((len(ids), self.shelf.collection.dimension), dtype=np.float32)
        with self._lock:
            places = self._sealed.places(ids)
            if self._alive is not None:
                places = np.where((places >= 0) & self._alive[places], places, -1)
            for row, chunk_id in enumerate(ids):
                if (vector := self._fresh.vector(int(chunk_id))) is not None:
                    found[row] = vector
            stored = self._sealed.vectors
        here = places >= 0
        if here.any():
            found[here] = stored.rows(places[here])
        return found

    def refresh(self) -> None:
        """Take over what came and went since the change last seen; start a merge where that has become much."""
        with self._lock:
            if self._seq < 0:
                self._build()
            elif self.shelf.store.chunks.seq() != self._seq:
                self._apply(self.shelf.store.chunks.changes(self.shelf.collection, self._seq))
                if self._pending > self._bound() and self._merging is None and time.monotonic() > self._not_before:
                    # not a daemon: a process that ends meanwhile finishes what it began, and keeps it
                    self._merging = threading.Thread(target=self._merge, name="index merge")
                    self._merging.start()

    def save(self) -> None:
        """Write the index, where the files lack more than a reader catches up on at once. Raises IndexBroken."""
        self.settle()
        with self._lock:
            if not self._saved or self._pending > (0 if self._sealed.family is Family.EXACT else self._bound()):
                self._write(self._sealed)

    def rebuild(self) -> None:
        """Build the index again from the rows, whatever is there, and write it. Raises IndexBroken."""
        self.settle()
        with self._lock:
            self._write(empty(self.shelf.collection.dimension))
            self.problem = ""

    def settle(self) -> None:
        """Wait for a merge that is going on."""
        if (thread := self._merging) is not None and thread is not threading.current_thread():
            thread.join()

    def stats(self) -> IndexStats:
        """See IndexStats."""
        with self._lock:
            folder, collection = self.shelf.folder, self.shelf.collection
            gone = 0 if self._alive is None else int((~self._alive).sum())
            return IndexStats(
                collection=collection.name,
                kind=self._sealed.family.value,
                vectors=len(self._sealed.ids) - gone + len(self._fresh),
                fresh=len(self._fresh),
                rows=self.shelf.store.chunks.count(collection),
                seq=self._seq,
                bytes_on_disk=sum(file.stat().st_size for file in data_files(folder)),
                problem=self.problem,
            )

    def check(self) -> IndexStats:
        """The same after catching up, with index and database compared row by row."""
        self.settle()
        with self._lock:
            self.refresh()
            self.problem = self.problem or self._compare()
            return self.stats()

    def _compare(self) -> str:
        lacking = differing = found = 0
        if self._sealed.index.ntotal != len(self._sealed.ids):
            return f"the lists hold {self._sealed.index.ntotal} vectors of {len(self._sealed.ids)}"
        with self.shelf.store.chunks.snapshot(self.shelf.collection) as rows:
            if rows.seq != self._seq:
                self._apply(self.shelf.store.chunks.changes(self.shelf.collection, self._seq))
            for ids, truth in rows.blocks:
                ours = self.vectors(ids)
                here = ours.any(axis=1)
                lacking += int((~here).sum())
                differing += int((ours[here] != truth[here].astype(np.float32)).any(axis=1).sum())
                found += int(here.sum())
        gone = 0 if self._alive is None else int((~self._alive).sum())
        extra = len(self._sealed.ids) - gone + len(self._fresh) - found
        if lacking or extra:
            return f"{lacking} rows are missing from the index, {extra} entries have no row"
        return f"{differing} vectors differ from their rows" if differing else ""

    def _load(self) -> Sealed | None:
        try:
            return self.shelf.load()
        except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
            self.problem = str(error).splitlines()[0]
            log.warning("index file not used", folder=str(self.shelf.folder), reason=self.problem)
            return None

    def _adopt(self, sealed: Sealed | None) -> None:
        """See ``sealed`` and nothing else; None: nothing at all, to be built at the first need."""
        with self._lock:
            self._saved = sealed is not None
            self._sealed = sealed or empty(self.shelf.collection.dimension)
            self._alive: NDArray[np.bool_] | None = None
            self._fresh = Fresh(self.shelf.collection.dimension)
            self._pending = 0
            self._seq = self._sealed.seq

    def _build(self) -> None:
        """See all rows as of now; many of them are saved, where that can be, so that nobody builds them again."""
        if self.shelf.store.chunks.count(self.shelf.collection) > MERGE_LEAST:
            try:
                self._adopt(self.shelf.make(self._sealed))
                return
            except OSError as error:
                log.warning("index is kept in memory alone", folder=str(self.shelf.folder), reason=str(error))
        self._adopt(self.shelf.build(self._sealed))
        self._saved = False

    def _write(self, like: Sealed) -> None:
        """See all rows as of now, saved; what is seen stays as it was where that fails."""
        try:
            self._adopt(self.shelf.make(like))
        except OSError as error:
            raise IndexBroken(
                f"cannot write the index to {self.shelf.folder}: {error.strerror or error}; the rows are safe: mend "
                "the cause and run: answerable index rebuild"
            ) from error

    def _merge(self) -> None:
        """In a thread of its own: a new sealed index beside the old one, then in its place. Fails without harm."""
        try:
            sealed = self._load_newer() or self.shelf.make(self._sealed)
            with self._lock:
                self._adopt(sealed)
                self._apply(self.shelf.store.chunks.changes(self.shelf.collection, self._seq))
        except Exception as error:  # the thread's end: searches go on over the old index and the side index
            log.exception("index merge failed, trying again later", reason=str(error))
            self._not_before = time.monotonic() + RETRY_S
        finally:
            self._merging = None

    def _load_newer(self) -> Sealed | None:
        """What another process has merged since, where that spares us the work."""
        try:
            return self.shelf.load(newer_than=self._sealed.seq)
        except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
            log.warning("index file not used", folder=str(self.shelf.folder), reason=str(error))
            return None

    def _apply(self, changes: Changes) -> None:
        stale = np.concatenate([changes.deleted, changes.ids])  # an id that came again has a new vector
        places = self._sealed.places(stale)
        places = places[places >= 0]
        if len(places):
            alive = np.ones(len(self._sealed.ids), dtype=np.bool_) if self._alive is None else self._alive.copy()
            alive[places] = False
            self._alive = alive
        self._fresh.remove(stale)
        if len(changes.ids):
            self._fresh.add(changes.ids, changes.vectors)
        self._pending += len(stale)
        self._seq = changes.seq

    def _bound(self) -> int:
        return int(min(MERGE_MOST, max(MERGE_LEAST, MERGE_SHARE * len(self._sealed.ids))))


def _merged(
    ids: NDArray[np.int64], scores: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The best ``k`` of each row of (Q, M) candidates, ties by id."""
    order = np.lexsort((ids, -scores), axis=1)[:, :k]
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(scores, order, axis=1)
