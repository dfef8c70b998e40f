"""How much of a passage the reranker should read (rag/rerank.py): nDCG@10 of the default search, and its time.

    python -m benchmarks.fit_read RETRIEVAL --sets cranfield cacm nq_oracle [--limit 250] [--tokens 64 80 96 128 256]

Each set is ingested once and searched with each limit of tokens a passage; 256 reads all there is room for. Times are
means over the queries that are reranked. Only dev sets: the choice is made here.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from eval.ranking import ranking_metrics
from eval.retrieval import COLLECTION, RetrievalEvaluation
from eval.scratch import scratch_search
from ingest.build import build_ingester
from rag.datafiles import RetrievalSet, read_retrieval
from rag.rerank import READ_TOKENS, OpenVinoReranker
from rag.retrieve import Retriever
from rag.settings import load_settings
from rag.weights import require
from rag.weights_trained import RERANKER

K = 300  # passages, as eval.retrieval asks for


def main() -> None:
    """Print a line a set and limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=["cranfield", "cacm", "nq_oracle"])
    parser.add_argument("--limit", type=int, default=0, help="judged queries of each set (0: all)")
    parser.add_argument("--tokens", type=int, nargs="+", default=[64, 80, READ_TOKENS, 128, 256])
    given = parser.parse_args()
    print(f"{'':18}{'tokens':>8}{'nDCG@10':>10}{'rerank ms':>11}")
    for name in given.sets:
        measure(name, read_retrieval(given.folder / name, given.limit), given.tokens)


def measure(name: str, data: RetrievalSet, limits: Sequence[int]) -> None:
    """Ingest a set and print what each limit gives on it."""
    settings = load_settings()
    folder = require(settings.home, RERANKER)
    with scratch_search(settings) as search:
        RetrievalEvaluation(search.retriever, build_ingester(settings, search)).ingest(data, lambda _done, _total: None)
        for tokens in limits:
            reranker = OpenVinoReranker(folder, settings.threads, tokens)
            ndcg, milliseconds = searched(replace(search.retriever, reranker=reranker), data)
            print(f"{name:18}{tokens:8}{ndcg:10.4f}{milliseconds:11.0f}", flush=True)


def searched(retriever: Retriever, data: RetrievalSet) -> tuple[float, float]:
    """nDCG@10 over all queries, and milliseconds that reranking one takes."""
    collection = retriever.store.collections.get(COLLECTION)
    found = {query_id: retriever.find(query, collection, K) for query_id, query in data.queries.items()}
    ranked = {query_id: list(dict.fromkeys(hit.passage.uri for hit in one.hits)) for query_id, one in found.items()}
    times = [one.rerank_ms for one in found.values() if one.rerank_ms]
    return float(ranking_metrics(data.qrels, ranked)["ndcg@10"] or 0.0), sum(times) / max(1, len(times))


if __name__ == "__main__":
    main()
