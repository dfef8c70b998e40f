"""How the two thresholds of rag/policy.py were chosen: answering everything once, then trying every pair of thresholds.

    python -m benchmarks.fit_policy FILE... [--limit N]        dev files with unanswerable questions among them

Each question is answered from its own passages with nothing refused but what the generator itself refuses. Prints, for
each pair, F1 over answerable questions (a refusal scores 0) and F1 of refusing, and their mean, which decides.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eval.metrics import mean, refusal_scores
from eval.qa import QaEvaluation
from eval.scratch import scratch_search
from ingest.build import build_ingester
from rag.answers import token_f1
from rag.build import build_pipeline
from rag.datafiles import QaRow, read_qa
from rag.policy import Policy
from rag.settings import load_settings
from rag.types import Answer

SIMILARITIES = (-1.0, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45)
SUPPORTS = (-1.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
NEVER = Policy(min_similarity=-1.0, min_support=-1.0)


@dataclass(frozen=True, slots=True)
class Signals:
    """What the policy sees of a question, and what answering it would be worth (F1; 0 for an unanswerable one)."""

    answerable: bool
    refused: bool
    similarity: float
    support: float
    f1: float


def main() -> None:
    """Answer all questions, then print a line a pair of thresholds, best last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--limit", type=int, default=0, help="first N questions of each file; 0: all")
    arguments = parser.parse_args()
    signals = [signal for file in arguments.files for signal in gather(read_qa(file, arguments.limit))]
    pairs = [(similarity, support) for similarity in SIMILARITIES for support in SUPPORTS]
    for worth, answer_f1, refusal_f1, pair in sorted((*judge(signals, *pair), pair) for pair in pairs):
        print(
            f"similarity {pair[0]:5}  support {pair[1]:5}  F1 {answer_f1:.4f}  refusal F1 {refusal_f1:.4f}  {worth:.4f}"
        )


def gather(rows: Sequence[QaRow]) -> Iterator[Signals]:
    """Every question answered, with what the policy would have seen."""
    settings = load_settings()
    with scratch_search(settings) as search:
        pipeline = replace(build_pipeline(settings, search), policy=NEVER)
        evaluation = QaEvaluation(pipeline, build_ingester(settings, search), settings.top_k)
        for row, answer, _ in evaluation.ask_closed(rows, lambda _done, _total: None):
            yield signals_of(row, answer)


def signals_of(row: QaRow, answer: Answer) -> Signals:
    """The signals of one answer."""
    return Signals(
        answerable=row.answerable,
        refused=answer.abstained,
        similarity=max((hit.dense or 0.0 for hit in answer.passages), default=0.0),
        support=max((claim.support for claim in answer.claims), default=0.0),
        f1=token_f1(answer.answer, row.answers) if row.answerable and not answer.abstained else 0.0,
    )


def judge(signals: Sequence[Signals], similarity: float, support: float) -> tuple[float, float, float]:
    """Mean of the two, F1 over answerable questions, and F1 of refusing, at these thresholds."""
    refused = [s.refused or s.similarity < similarity or s.support < support for s in signals]
    kept = [0.0 if no else s.f1 for s, no in zip(signals, refused, strict=True) if s.answerable]
    answer_f1 = mean(kept) or 0.0
    refusal_f1 = refusal_scores(refused, [s.answerable for s in signals])["refusal_f1"] or 0.0
    return (answer_f1 + refusal_f1) / 2, answer_f1, refusal_f1


if __name__ == "__main__":
    main()
