"""Question -> hits: dense and BM25 search, fused, as one ranked list of passages.

Fusion is a convex combination of the two scores, each brought to [0, 1] first (Bruch, Gai and Ingber 2023, "An Analysis
of Fusion Functions for Hybrid Retrieval"): the cosine as it is, clipped at 0, and the BM25 score over the best BM25
score of the query. Every candidate of either search gets both scores where they exist: the cosine of a passage that
only BM25 found is computed from its vector, so no passage is marked down for having been found by one search alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rag.encode import Encoder
from rag.index import VectorIndex
from rag.store import Collection, Store, check_encoder
from rag.types import Hit, Passage

Mode = Literal["dense", "bm25", "fused"]

CANDIDATES = 50  # of each search, before fusion
DENSE_WEIGHT = 0.8  # share of the cosine in the fused score; chosen on dev sets, see docs/benchmarks.md

_STOPWORDS = frozenset(
    "a about all am an and any are as at be been but by can could did do does for from had has have how i if in into "
    "is it its me my no not of on or our shall should so some such than that the their them then there these they this "
    "those to was we were what when where which who whom whose why will with would you your".split()
)


@dataclass(frozen=True, slots=True)
class Retriever:
    """What a search needs: the encoder of the collection, its index, and the rows."""

    encoder: Encoder
    index: VectorIndex
    store: Store

    def search(self, query: str, collection: Collection, k: int, mode: Mode = "fused") -> tuple[Hit, ...]:
        """The best ``k`` passages for ``query``, best first; ties by id, so the order is always the same.

        Raises EncoderChanged when the collection's vectors come from another encoder.
        """
        check_encoder(collection, self.encoder.fingerprint)
        dense, bm25 = self.scores(query, collection, max(k, CANDIDATES), mode)
        scores = fuse(dense, bm25, DENSE_WEIGHT) if mode == "fused" else dense or bm25
        best = sorted(scores, key=lambda chunk_id: (-scores[chunk_id], chunk_id))[:k]
        passages = self.store.chunks.passages(best)
        return tuple(Hit(passages[i], scores[i], dense.get(i), bm25.get(i)) for i in best if i in passages)

    def scores(
        self, query: str, collection: Collection, depth: int, mode: Mode = "fused"
    ) -> tuple[dict[int, float], dict[int, float]]:
        """Cosine and BM25 score by chunk id, of the best ``depth`` of each search; a mode leaves the other empty."""
        bm25 = {} if mode == "dense" else self._bm25(query, collection, depth)
        dense = {} if mode == "bm25" else self._dense(query, collection, depth, tuple(bm25))
        return dense, bm25

    def rank(self, query: str, passages: Sequence[Passage], k: int) -> tuple[Hit, ...]:
        """The ``k`` of ``passages`` nearest to ``query`` by cosine, best first, ties in the given order."""
        if not passages:
            return ()
        query_vector = self.encoder.encode([query])[0]  # (D,)
        cosines = self.encoder.encode([f"{p.heading}\n{p.text}" for p in passages]) @ query_vector  # (N,)
        order = sorted(range(len(passages)), key=lambda i: -cosines[i])[:k]
        return tuple(Hit(passages[i], float(cosines[i]), float(cosines[i])) for i in order)

    def _dense(self, query: str, collection: Collection, depth: int, also: tuple[int, ...]) -> dict[int, float]:
        vector = self.encoder.encode([query])  # (1, D)
        ids, cosines = self.index.search(collection, vector, depth)  # (1, depth)
        found = {int(i): float(c) for i, c in zip(ids[0], cosines[0], strict=True) if i >= 0}
        missing = np.array([i for i in also if i not in found], dtype=np.int64)
        if len(missing):
            rest = self.index.vectors(collection, missing) @ vector[0]  # (M,)
            found.update((int(i), float(c)) for i, c in zip(missing, rest, strict=True))
        return found

    def _bm25(self, query: str, collection: Collection, depth: int) -> dict[int, float]:
        match = fts_expression(query)
        return dict(self.store.chunks.search(collection, match, depth)) if match else {}


def fts_expression(query: str) -> str:
    """An FTS5 expression that matches any content word of ``query``; empty when it has none.

    Each word is quoted, so nothing in a question can act as FTS5 syntax. Stop words are left out, unless the question
    holds nothing else: they cost time and rank nothing.
    """
    words = list(dict.fromkeys(re.findall(r"\w+", query.lower())))
    content = [word for word in words if word not in _STOPWORDS] or words
    return " OR ".join(f'"{word}"' for word in content[:64])


def fuse(dense: Mapping[int, float], bm25: Mapping[int, float], dense_weight: float) -> dict[int, float]:
    """The fused score in [0, 1] of every chunk that has either, by the formula on top of this file."""
    top = max(bm25.values(), default=0.0) or 1.0
    return {
        chunk_id: dense_weight * max(0.0, dense.get(chunk_id, 0.0))
        + (1 - dense_weight) * max(0.0, bm25.get(chunk_id, 0.0)) / top
        for chunk_id in dense.keys() | bm25.keys()
    }
