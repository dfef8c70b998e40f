"""The retrieval table of docs/benchmarks.md: nDCG@10 of each way of searching on each set, and squad2's recall@5.

    python -m benchmarks.retrieval_table RETRIEVAL --sets cranfield cacm nq_oracle arguana --qa QA/dev/squad2.jsonl.gz

RETRIEVAL: the folder that holds the sets. "default" is what a search without a mode does (rag/retrieve.py): reranked,
but for queries as long as passages. A set where the default is more than .005 below its best single part is marked "!".
The last line is the open question file: the share of answerable questions with the gold passage among the first five.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from eval.ranking import ranking_metrics
from eval.retrieval import RetrievalEvaluation
from eval.scratch import scratch_search
from ingest.build import build_ingester
from rag.datafiles import RetrievalSet, SourceText, read_qa, read_retrieval
from rag.settings import load_settings

_PARTS = ("dense", "bm25")
_ALLOWED = 0.005


def main() -> None:
    """Print a line a set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=["cranfield", "cacm", "nq_oracle", "arguana"])
    parser.add_argument("--qa", type=Path, help="a question file, all of whose passages are searched")
    parser.add_argument("--limit", type=int, default=0, help="judged queries of each set (0: all)")
    given = parser.parse_args()
    rows = [(name, measure(read_retrieval(given.folder / name, given.limit), "ndcg@10")) for name in given.sets]
    if given.qa:
        rows.append(
            (f"{given.qa.name.split('.')[0]} recall@5", measure(open_questions(given.qa, given.limit), "recall@5"))
        )
    modes = list(rows[0][1])
    print(f"{'':18}" + "".join(f"{mode:>11}" for mode in modes))
    for name, scores in rows:
        best = max(scores[mode] for mode in _PARTS)
        mark = "  !" if scores[modes[-1]] < best - _ALLOWED else ""
        print(f"{name:18}" + "".join(f"{scores[mode]:11.4f}" for mode in modes) + mark)
    means = [sum(scores[mode] for name, scores in rows if name in given.sets) / len(given.sets) for mode in modes]
    print(f"{'mean of the sets':18}" + "".join(f"{mean:11.4f}" for mean in means))


def measure(data: RetrievalSet, metric: str) -> dict[str, float]:
    """The metric of every way of searching; the last one is the default."""
    settings = load_settings()
    with scratch_search(settings) as search:
        evaluation = RetrievalEvaluation(search.retriever, build_ingester(settings, search))
        rankings = evaluation.run(data, lambda _done, _total: None)
    return {mode: float(ranking_metrics(data.qrels, ranked)[metric] or 0.0) for mode, ranked in rankings.items()}


def open_questions(path: Path, limit: int) -> RetrievalSet:
    """A question file as a retrieval set: all its passages, and of each answerable question its own ones."""
    keys: dict[SourceText, str] = {}
    queries: dict[str, str] = {}
    qrels: dict[str, Mapping[str, int]] = {}
    for row in read_qa(path, limit):
        own = {keys.setdefault(passage, f"passage-{len(keys)}"): 1 for passage in row.passages}
        if row.answerable:
            queries[row.id], qrels[row.id] = row.question, own
    return RetrievalSet(path.name, {key: passage for passage, key in keys.items()}, queries, qrels)


if __name__ == "__main__":
    main()
