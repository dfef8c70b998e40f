"""How much the reranker should say (rag/retrieve.py): nDCG@10 by its weight in the score, and by its temperature.

    python -m benchmarks.fit_rerank RETRIEVAL --sets cranfield cacm nq_oracle [--limit 250]

The best passages of the fused search are read once by the reranker; then each weight and temperature orders them anew.
Weight 0 is the fused search. Only dev sets: the choice is made here.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.ranking import ranking_metrics
from eval.retrieval import COLLECTION, RetrievalEvaluation
from eval.scratch import scratch_search
from ingest.build import build_ingester
from rag.datafiles import RetrievalSet, read_retrieval
from rag.retrieve import RERANK_WORDS, RERANKED, reranked_scores
from rag.settings import load_settings

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
TEMPERATURES = (1.0, 2.0, 4.0, 8.0)
DEPTH = 100


@dataclass(frozen=True, slots=True)
class Read:
    """A query's fused hits: documents and scores, best first, and the logits (N,) of "relevant" of the first N."""

    documents: tuple[str, ...]
    scores: NDArray[np.float64]
    logits: NDArray[np.float32]


def main() -> None:
    """Print a line a weight and temperature."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=["cranfield", "cacm", "nq_oracle"])
    parser.add_argument("--limit", type=int, default=0, help="judged queries of each set (0: all)")
    given = parser.parse_args()
    data = [read_retrieval(given.folder / name, given.limit) for name in given.sets]
    reads = [read(each) for each in data]
    print(f"{'weight':>7}{'temperature':>12}" + "".join(f"{name:>11}" for name in given.sets) + f"{'mean':>11}")
    for temperature in TEMPERATURES:
        for weight in WEIGHTS:
            found = [ndcg(each, of, weight, temperature) for each, of in zip(data, reads, strict=True)]
            figures = [*found, sum(found) / len(found)]
            print(f"{weight:7}{temperature:12}" + "".join(f"{figure:11.4f}" for figure in figures), flush=True)


def read(data: RetrievalSet) -> dict[str, Read]:
    """Every query searched and its best passages read."""
    settings = load_settings()
    found = {}
    with scratch_search(settings) as search:
        RetrievalEvaluation(search.retriever, build_ingester(settings, search)).ingest(data, lambda _done, _total: None)
        retriever = search.retriever
        if retriever.reranker is None:
            raise SystemExit("there is no reranker in models/: train one first")
        collection = retriever.store.collections.get(COLLECTION)
        for query_id, query in data.queries.items():
            hits = retriever.search(query, collection, DEPTH, "fused")
            some = hits[:RERANKED] if len(query.split()) <= RERANK_WORDS else ()
            texts = [f"{hit.passage.heading}\n{hit.passage.text}" for hit in some]
            logits = retriever.reranker.logits(query, texts)[:, 0] if texts else np.zeros(0, np.float32)
            found[query_id] = Read(
                tuple(hit.passage.uri for hit in hits), np.array([hit.score for hit in hits]), logits
            )
    return found


def ndcg(data: RetrievalSet, reads: dict[str, Read], weight: float, temperature: float) -> float:
    """nDCG@10 of one way to order."""
    ranked = {query_id: order(one, weight, temperature) for query_id, one in reads.items()}
    return float(ranking_metrics(data.qrels, ranked)["ndcg@10"] or 0.0)


def order(one: Read, weight: float, temperature: float) -> list[str]:
    """Documents, best first."""
    scores: Sequence[float] = one.scores.tolist()
    if len(one.logits):
        scores = reranked_scores(scores, one.logits, weight, temperature)
    best = sorted(range(len(scores)), key=lambda place: -scores[place])
    return list(dict.fromkeys(one.documents[place] for place in best))


if __name__ == "__main__":
    main()
