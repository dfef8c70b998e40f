"""How good a ranking of documents is: nDCG@10, recall@5/20/100, MRR@10, each as trec_eval computes it.

A document is relevant from grade 1 up; grades of 0 and below are judged not relevant and gain nothing. Means run over
the judged queries: one that the run leaves out scores 0, as does one with no relevant document (trec_eval -c).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

NDCG_CUT = 10
MRR_CUT = 10
RECALL_CUTS = (5, 20, 100)


def ranking_scores(grades: Mapping[str, int], ranked: Sequence[str]) -> dict[str, float]:
    """The five figures of one query, each in [0, 1]; ``ranked`` is best first.

    Keys: "ndcg@10", "recall@5", "recall@20", "recall@100", "mrr@10".
    Raises ValueError where a document stands in the ranking twice, which would count its gain twice.
    """
    if len(set(ranked)) != len(ranked):
        twice = next(document for document in ranked if ranked.count(document) > 1)
        raise ValueError(f'document "{twice}" stands in the ranking twice; rank each document once')
    scores = {"ndcg@10": _ndcg(grades, ranked)}
    scores |= {f"recall@{cut}": _recall(grades, ranked[:cut]) for cut in RECALL_CUTS}
    scores["mrr@10"] = _reciprocal_rank(grades, ranked[:MRR_CUT])
    return scores


def ranking_metrics(
    qrels: Mapping[str, Mapping[str, int]], run: Mapping[str, Sequence[str]]
) -> dict[str, float | None]:
    """Mean of ``ranking_scores`` over the judged queries, the same keys; None for each where no query is judged."""
    rows = [ranking_scores(grades, run.get(query, ())) for query, grades in qrels.items()]
    keys = ranking_scores({}, ())
    return {key: math.fsum(row[key] for row in rows) / len(rows) if rows else None for key in keys}


def _ndcg(grades: Mapping[str, int], ranked: Sequence[str]) -> float:
    """Discounted gain (grade / log2(rank + 1)) over that of the best ranking (Jarvelin & Kekalainen, TOIS 2002)."""
    ideal = _discounted_gain(sorted(grades.values(), reverse=True))
    return _discounted_gain([grades.get(document, 0) for document in ranked]) / ideal if ideal else 0.0


def _discounted_gain(gains: Sequence[int]) -> float:
    return math.fsum(max(gain, 0) / math.log2(rank + 1) for rank, gain in enumerate(gains[:NDCG_CUT], start=1))


def _recall(grades: Mapping[str, int], ranked: Sequence[str]) -> float:
    """Share of the query's relevant documents among ``ranked``."""
    relevant = sum(grade > 0 for grade in grades.values())
    return sum(grades.get(document, 0) > 0 for document in ranked) / relevant if relevant else 0.0


def _reciprocal_rank(grades: Mapping[str, int], ranked: Sequence[str]) -> float:
    """1 / rank of the first relevant document (Voorhees, TREC-8 question answering track, 1999), 0 without one."""
    ranks = (rank for rank, document in enumerate(ranked, start=1) if grades.get(document, 0) > 0)
    return 1 / next(ranks, math.inf)
