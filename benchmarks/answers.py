"""How well the shipped generator answers, beside its base model, over the dev files: the table of docs/benchmarks.md.

    python -m benchmarks.answers QA_DEV_FOLDER [--limit 500] [--generators NAME...] [--only SUITE...]

Each file is asked from its rows' own passages (`closed`), from a collection of all its passages (`open`), or from the
gold passage among the four nearest others in random order (`five`), through the whole pipeline with the shipped
thresholds, the first ``--limit`` questions of each. A generator named with ":alone" answers by itself: no reader's span
in place of its own, and no refusal but its own.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.metrics import qa_metrics
from eval.qa import COLLECTION, QaEvaluation, as_document, passage_key, qa_result
from eval.scratch import scratch_search
from ingest.build import build_ingester
from rag.build import build_pipeline
from rag.datafiles import QaRow, read_qa
from rag.policy import Policy
from rag.settings import load_settings

SUITES = (
    ("squad2", "closed"),
    ("nq_oracle", "closed"),
    ("nq_oracle", "open"),
    ("nq_oracle", "five"),
    ("boolq", "closed"),
    ("mtrag", "closed"),
    ("policyqa", "closed"),
)
COLUMNS = ("n", "em", "f1", "answer_rate", "refusal_f1", "citation_precision", "latency_ms_p50")
FIVE = 5
FIVE_TOKENS = 1300  # room for five passages of the chunker's length
SEED = 0
ALONE = ":alone"
GENERATORS = ("answerable-135m", "answerable-135m:alone", "smollm2-135m:alone")
GENERATOR_ONLY = Policy(min_similarity=-1.0, min_answerable=0.0, min_support=-1.0, min_right=-1.0)


def main() -> None:
    """Measure each suite with each generator and print a line of a Markdown table for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the dev question files")
    parser.add_argument("--limit", type=int, default=500, help="first N questions of each file; 0: all")
    parser.add_argument("--generators", nargs="+", default=list(GENERATORS), help=f"models, with {ALONE} or without")
    parser.add_argument("--only", nargs="+", help="suites, as in nq_oracle/open")
    arguments = parser.parse_args()
    print("| generator | suite | " + " | ".join(COLUMNS) + " |\n" + "|---" * (2 + len(COLUMNS)) + "|")
    for generator in arguments.generators:
        for name, how in SUITES:
            if not arguments.only or f"{name}/{how}" in arguments.only:
                file = next(arguments.folder.glob(f"{name}.jsonl*"))
                figures = measure(generator, file, arguments.limit, how)
                cells = ["" if figures[column] is None else f"{figures[column]:.4g}" for column in COLUMNS]
                print(f"| {generator} | {name}/{how} | " + " | ".join(cells) + " |", flush=True)


def measure(generator: str, file: Path, limit: int, how: str) -> Mapping[str, Any]:
    """The figures of one suite."""
    rows = read_qa(file, limit)
    settings = load_settings(generator=generator.removesuffix(ALONE))
    if how == "five":
        settings = settings.model_copy(update={"top_k": FIVE, "passage_tokens": FIVE_TOKENS})
    with scratch_search(settings) as search:
        pipeline = build_pipeline(settings, search)
        if generator.endswith(ALONE):
            pipeline = replace(pipeline, reader=None, rater=None, policy=GENERATOR_ONLY)
        evaluation = QaEvaluation(pipeline, build_ingester(settings, search), settings.top_k)
        asked = list(among_five(rows, evaluation)) if how == "five" else rows
        ask = evaluation.ask_open if how == "open" else evaluation.ask_closed
        found = zip(rows, ask(asked, quiet), strict=True)
        return qa_metrics([qa_result(row, answer, ms) for row, (_, answer, ms) in found])


def among_five(rows: Sequence[QaRow], evaluation: QaEvaluation) -> Iterator[QaRow]:
    """Each row with its passages and the nearest others of the file, five in all, in random order."""
    sources = {passage_key(source): source for row in rows for source in row.passages}
    evaluation.ingester.ingest_documents([as_document(source) for source in sources.values()], COLLECTION)
    retriever = evaluation.pipeline.retriever
    collection = retriever.store.collections.get(COLLECTION)
    draw = random.Random(SEED)
    for row in rows:
        hits = retriever.search(row.question, collection, 4 * FIVE)
        near = [uri for uri in dict.fromkeys(hit.passage.uri for hit in hits) if sources[uri] not in row.passages]
        passages = [*row.passages, *(sources[uri] for uri in near)][:FIVE]
        draw.shuffle(passages)
        yield replace(row, passages=tuple(passages))


def quiet(_done: int, _total: int | None) -> None:
    """Shows no progress."""


if __name__ == "__main__":
    main()
