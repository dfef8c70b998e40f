"""The side index: what came and went since the main index was sealed. Small, exact, and never locked for reading.

Rows are only ever appended, and a snapshot is a count and two arrays that later appends do not touch, so a search goes
on over its snapshot whatever comes meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FIRST = 256  # rows that there is room for at the start


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The side index at one moment: ids (M,), fp32 vectors (M, D), and which of the rows still stand, (M,)."""

    ids: NDArray[np.int64]
    vectors: NDArray[np.float32]
    alive: NDArray[np.bool_]


class Fresh:
    """Rows by appending; a row that goes, or comes again, is marked. One writer at a time."""

    def __init__(self, dimension: int):
        self._ids = np.empty(_FIRST, dtype=np.int64)
        self._vectors = np.empty((_FIRST, dimension), dtype=np.float32)
        self._alive = np.ones(0, dtype=np.bool_)
        self._place: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._place)

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Mark the rows of ``ids``; those that are not here are not missed."""
        places = [place for i in ids if (place := self._place.pop(int(i), None)) is not None]
        if places:
            alive = self._alive.copy()
            alive[places] = False
            self._alive = alive

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Append rows whose ids are not here."""
        first, last = len(self._alive), len(self._alive) + len(ids)
        if last > len(self._ids):
            room = max(last, 2 * len(self._ids))
            self._ids = np.concatenate([self._ids[:first], np.empty(room - first, dtype=np.int64)])
            more = np.empty((room - first, self._vectors.shape[1]), dtype=np.float32)
            self._vectors = np.concatenate([self._vectors[:first], more])
        self._ids[first:last] = ids
        self._vectors[first:last] = vectors
        self._place.update((int(i), first + n) for n, i in enumerate(ids))
        self._alive = np.concatenate([self._alive, np.ones(len(ids), dtype=np.bool_)])

    def snapshot(self) -> Snapshot:
        """What is here now."""
        alive = self._alive
        return Snapshot(self._ids[: len(alive)], self._vectors[: len(alive)], alive)

    def vector(self, chunk_id: int) -> NDArray[np.float32] | None:
        """The vector of a row, (D,); None where it is not here."""
        place = self._place.get(chunk_id)
        return None if place is None else self._vectors[place]


def search(
    snapshot: Snapshot, queries: NDArray[np.float32], k: int, allowed: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The ``k`` nearest standing rows of each query: ids and inner products, (Q, min(k, M)), best first, ties by id.

    ``allowed``: ids to keep to, rising; None for all.
    """
    keep = snapshot.alive if allowed is None else snapshot.alive & np.isin(snapshot.ids, allowed)
    if not keep.any():
        return np.empty((len(queries), 0), dtype=np.int64), np.empty((len(queries), 0), dtype=np.float32)
    scores = queries @ snapshot.vectors.T  # (Q, M)
    scores[:, ~keep] = -np.inf
    order = np.lexsort((np.broadcast_to(snapshot.ids, scores.shape), -scores), axis=1)[:, : min(k, int(keep.sum()))]
    return snapshot.ids[order], np.take_along_axis(scores, order, axis=1)
