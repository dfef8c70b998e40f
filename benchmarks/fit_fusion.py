"""How the weights of rag/fusion.py were chosen: nDCG@10 of every weight on dev retrieval sets.

    python -m benchmarks.fit_fusion FOLDER...          each in the layout of `eval retrieval`

Prints a line a weight: dense alone is 1, BM25 alone is 0, and the mean over the sets is what decides. Reciprocal rank
fusion with k = 60 (Cormack, Clarke and Buettcher 2009) is printed for
comparison, and last the weight that moves with the query.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from eval.ranking import ranking_metrics
from eval.retrieval import COLLECTION, RetrievalEvaluation
from eval.scratch import scratch_search
from ingest.build import build_ingester
from rag.datafiles import RetrievalSet, read_retrieval
from rag.fusion import fuse
from rag.retrieve import CANDIDATES, Retriever
from rag.settings import load_settings

WEIGHTS = (0.0, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
RRF_K = 60


@dataclass(frozen=True, slots=True)
class Candidates:
    """Cosine and BM25 score of each candidate chunk of a query, and the document of each chunk."""

    dense: Mapping[int, float]
    bm25: Mapping[int, float]
    document: Mapping[int, str]


def main() -> None:
    """Gather the candidates of every set, then print a line a weight."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--limit", type=int, default=1500, help="judged queries of each set")
    arguments = parser.parse_args()
    sets = [read_retrieval(folder, arguments.limit) for folder in arguments.folders]
    gathered = {data.name: (data, gather(data)) for data in sets}
    print("weight  " + "  ".join(f"{name:>12}" for name in gathered) + "          mean")
    for weight in WEIGHTS:
        fixed = partial(by_weight, weight)
        report(f"{weight:6}", [score(data, found, fixed) for data, found in gathered.values()])
    report("   rrf", [score(data, found, reciprocal_ranks) for data, found in gathered.values()])
    report(" query", [score(data, found, by_query) for data, found in gathered.values()])


def gather(data: RetrievalSet) -> dict[str, Candidates]:
    """Ingest the corpus once and search both ways for every query."""
    settings = load_settings()
    with scratch_search(settings) as search:
        evaluation = RetrievalEvaluation(search.retriever, build_ingester(settings, search))
        evaluation.ingest(data, lambda _done, _total: None)
        return {key: candidates(search.retriever, query) for key, query in data.queries.items()}


def candidates(retriever: Retriever, query: str) -> Candidates:
    """What both searches find for ``query``."""
    collection = retriever.store.collections.get(COLLECTION)
    dense, bm25 = retriever.scores(query, collection, CANDIDATES)
    passages = retriever.store.chunks.passages(dense.keys() | bm25.keys())
    return Candidates(dense, bm25, {key: passage.uri for key, passage in passages.items()})


def score(
    data: RetrievalSet, found: Mapping[str, Candidates], fusion: Callable[[Candidates], Mapping[int, float]]
) -> float:
    """nDCG@10 over all queries, of the order that ``fusion`` gives."""
    ranked = {}
    for key, each in found.items():
        order = best_first(fusion(each))
        ranked[key] = list(dict.fromkeys(each.document[chunk] for chunk in order))
    return float(ranking_metrics(data.qrels, ranked)["ndcg@10"] or 0.0)


def by_weight(weight: float, each: Candidates) -> dict[int, float]:
    """Fused with a fixed share of the cosine."""
    return fuse(each.dense, each.bm25, weight)


def by_query(each: Candidates) -> dict[int, float]:
    """Fused as the product does, with the share that the query tells."""
    return fuse(each.dense, each.bm25)


def reciprocal_ranks(each: Candidates) -> dict[int, float]:
    """Sum of 1 / (k + rank) over the two lists."""
    total: dict[int, float] = {}
    for scores in (each.dense, each.bm25):
        for rank, chunk in enumerate(best_first(scores), start=1):
            total[chunk] = total.get(chunk, 0.0) + 1 / (RRF_K + rank)
    return total


def best_first(scores: Mapping[int, float]) -> list[int]:
    """Chunk ids by falling score, ties by id."""
    return sorted(scores, key=lambda chunk: (-scores[chunk], chunk))


def report(name: str, scores: list[float]) -> None:
    """One line of the table."""
    print(f"{name}  " + "  ".join(f"{value:12.4f}" for value in scores) + f"  {sum(scores) / len(scores):12.4f}")


if __name__ == "__main__":
    main()
