"""The main index: sealed, never changed, so that any number of threads may search it at once.

It numbers vectors by row, in the order of their chunk ids. What was deleted since is left out by a bitmap of the rows
that still stand; what came is in rag/index/fresh.py. Candidates of a quantised family are ranked again by the stored
vectors, so the scores that come out are exact cosines whatever the family.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.index import families, gpu
from rag.index.families import Family
from rag.index.files import StoredVectors

_SCAN_UP_TO = 20_000  # rows that a filter may leave for comparing each, which no family can miss


@dataclass(frozen=True, slots=True)
class Sealed:
    """Chunk ids (N,) rising, their vectors, and the FAISS index over them; ``seq``: the change it has seen last."""

    family: Family
    mapped: bool
    ids: NDArray[np.int64]
    vectors: StoredVectors
    index: Any
    seq: int
    on_gpu: gpu.GpuClone | None = None

    def places(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each id, -1 where it is not here."""
        if not len(self.ids):
            return np.full(len(ids), -1, dtype=np.int64)
        found = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[found] == ids, found, -1).astype(np.int64)

    def search(
        self, queries: NDArray[np.float32], k: int, alive: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The ``k`` nearest standing rows: chunk ids and cosines, (Q, k), best first, ties by id; -1 and -inf pad.

        ``alive``: (N,) which rows stand, None for all of them.
        """
        standing = len(self.ids) if alive is None else int(alive.sum())
        if standing == 0:
            return np.full((len(queries), k), -1, dtype=np.int64), np.full((len(queries), k), -np.inf, dtype=np.float32)
        depth = min(families.depth(self.family, k), standing)
        # a filter that leaves few, or a wish for most of what stands: no approximation is worth its misses
        few = alive is not None and standing <= min(_SCAN_UP_TO, len(self.ids) // 4)
        if self.family is not Family.EXACT and (few or 4 * depth >= standing):
            every = np.arange(len(self.ids)) if alive is None else np.flatnonzero(alive)
            rows = np.broadcast_to(every, (len(queries), standing))
        else:
            rows = self._candidates(queries, depth, alive)
        return self._ranked(queries, rows, k)

    def _candidates(
        self, queries: NDArray[np.float32], depth: int, alive: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        if self.on_gpu is not None and (alive is None or depth + (~alive).sum() <= gpu.MAX_K):
            # GPU indexes take no selector: fetch as many more as may be gone
            gone = 0 if alive is None else int((~alive).sum())
            _, rows = self.on_gpu.search(queries, min(depth + gone, len(self.ids), gpu.MAX_K))
            return rows if alive is None else np.where(alive[rows], rows, -1)
        selector = None if alive is None else families.alive_selector(alive)
        parameters = families.search_parameters(self.family, self.index, selector)
        _, rows = self.index.search(queries, depth, params=parameters)
        del selector  # FAISS holds a bare pointer to it: it had to live until here
        found: NDArray[np.int64] = rows
        return found

    def _ranked(
        self, queries: NDArray[np.float32], rows: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        ids = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        for number, query in enumerate(queries):
            found = np.sort(rows[number][rows[number] >= 0])
            cosines = self.vectors.rows(found) @ query  # (M,)
            best = np.lexsort((found, -cosines))[:k]
            ids[number, : len(best)] = self.ids[found[best]]
            scores[number, : len(best)] = cosines[best]
        return ids, scores


def empty(dimension: int) -> Sealed:
    """An index of nothing, that has seen nothing."""
    vectors = np.empty((0, dimension), dtype=np.float16)
    index = families.build(Family.EXACT, vectors)
    return Sealed(Family.EXACT, False, np.empty(0, dtype=np.int64), StoredVectors(vectors), index, -1)
