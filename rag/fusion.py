"""Cosine and BM25 -> one score, weighted by what the query tells.

Fusion is a convex combination of the two scores, each brought to [0, 1] first (Bruch, Gai and Ingber 2023, "An Analysis
of Fusion Functions for Hybrid Retrieval"): the cosine as it is, clipped at 0, and the BM25 score over the best BM25
score of the query. The weight moves with how far the best passage of each search stands out from its next nine: a rare
word or an exact name makes BM25's first stand out, a paraphrase the encoder's, and a search that has no favourite is
trusted less. Constants were chosen on dev sets by benchmarks/fit_fusion.py; docs/benchmarks.md has the figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

DENSE_WEIGHT = 0.75  # where both stand out as usual
_USUAL_BM25_LEAD, _BM25_SLOPE = 0.4, 0.3
_USUAL_DENSE_LEAD, _DENSE_SLOPE = 0.15, 0.5
_LEAST, _MOST = 0.1, 0.98
_COMPARED = 9  # passages after the first


def fuse(dense: Mapping[int, float], bm25: Mapping[int, float], dense_weight: float | None = None) -> dict[int, float]:
    """The fused score in [0, 1] of every chunk that has either; ``dense_weight`` None: as the query tells."""
    weight = query_weight(dense, bm25) if dense_weight is None else dense_weight
    top = max(bm25.values(), default=0.0) or 1.0
    return {
        chunk_id: weight * max(0.0, dense.get(chunk_id, 0.0)) + (1 - weight) * max(0.0, bm25.get(chunk_id, 0.0)) / top
        for chunk_id in dense.keys() | bm25.keys()
    }


def query_weight(dense: Mapping[int, float], bm25: Mapping[int, float]) -> float:
    """The share of the cosine for this query, in [0.1, 0.98]."""
    best, mean = _best_and_next(bm25.values())
    bm25_lead = 1 - mean / best if best > 0 else 0.0
    best, mean = _best_and_next(dense.values())
    bm25_share = 1 - DENSE_WEIGHT + _BM25_SLOPE * (bm25_lead - _USUAL_BM25_LEAD)
    bm25_share -= _DENSE_SLOPE * (best - mean - _USUAL_DENSE_LEAD)
    return min(_MOST, max(_LEAST, 1 - bm25_share))


def _best_and_next(scores: Iterable[float]) -> tuple[float, float]:
    """The best score, and the mean of those after it (the best itself where it is alone)."""
    first, *rest = sorted(scores, reverse=True)[: _COMPARED + 1] or [0.0]
    return first, sum(rest) / len(rest) if rest else first
