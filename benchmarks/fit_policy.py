"""How the three thresholds of rag/policy.py were chosen: answering everything once, then trying all thresholds.

    python -m benchmarks.fit_policy FILE... [--limit N]        dev files with unanswerable questions among them

Each question is answered from its own passages with nothing refused. Prints, for the best thresholds, F1 over
answerable questions (a refusal scores 0) and F1 of refusing, over all questions, and their mean, which decides; then
both by file at the best; and for each signal alone the area under the ROC curve of telling unanswerable questions.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from eval.calibration import auroc
from eval.measures import mean
from eval.metrics import refusal_scores
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
REFUSALS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9, 2.0)
SUPPORTS = (-1.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
NEVER = Policy(min_similarity=-1.0, refuse_at=2.0, min_support=-1.0)
SHOWN = 25

Thresholds = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Signals:
    """What the policy sees of a question, and what answering it would be worth (F1; 0 for an unanswerable one)."""

    file: str
    answerable: bool
    refused: bool
    similarity: float
    unanswerable: float
    support: float
    f1: float


def main() -> None:
    """Answer all questions, then print what the thresholds would make of them, best last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--limit", type=int, default=0, help="first N questions of each file; 0: all")
    arguments = parser.parse_args()
    signals = [signal for file in arguments.files for signal in gather(file, arguments.limit)]
    worths = [(judge(signals, chosen), chosen) for chosen in product(SIMILARITIES, REFUSALS, SUPPORTS)]
    worths.sort()
    for figures, chosen in worths[-SHOWN:]:
        show("all", figures, chosen)
    best = worths[-1][1]
    for file in dict.fromkeys(signal.file for signal in signals):
        show(file, judge([signal for signal in signals if signal.file == file], best), best)
    absent = [not signal.answerable for signal in signals]
    print(f"AUROC: similarity {auroc([-signal.similarity for signal in signals], absent)}")
    print(f"AUROC: unanswerable {auroc([signal.unanswerable for signal in signals], absent)}")
    print(f"AUROC: support {auroc([-signal.support for signal in signals], absent)}")


def show(name: str, figures: tuple[float, float, float], thresholds: Thresholds) -> None:
    """Print one line."""
    worth, answer_f1, refusal_f1 = figures
    similarity, refuse_at, support = thresholds
    print(
        f"{name:12} similarity {similarity:5}  refuse at {refuse_at:5}  support {support:5}  "
        f"F1 {answer_f1:.4f}  refusal F1 {refusal_f1:.4f}  {worth:.4f}"
    )


def gather(file: Path, limit: int) -> Iterator[Signals]:
    """Every question of ``file`` answered, with what the policy would have seen."""
    settings = load_settings()
    rows = read_qa(file, limit)
    with scratch_search(settings) as search:
        pipeline = replace(build_pipeline(settings, search), policy=NEVER)
        evaluation = QaEvaluation(pipeline, build_ingester(settings, search), settings.top_k)
        for row, answer, _ in evaluation.ask_closed(rows, lambda _done, _total: None):
            yield signals_of(file.name.split(".")[0], row, answer)


def signals_of(file: str, row: QaRow, answer: Answer) -> Signals:
    """The signals of one answer."""
    return Signals(
        file=file,
        answerable=row.answerable,
        refused=answer.abstained,
        similarity=max((hit.dense or 0.0 for hit in answer.passages), default=0.0),
        unanswerable=answer.unanswerable or 0.0,
        support=max((claim.support for claim in answer.claims), default=0.0),
        f1=token_f1(answer.answer, row.answers) if row.answerable and not answer.abstained else 0.0,
    )


def judge(signals: Sequence[Signals], thresholds: Thresholds) -> tuple[float, float, float]:
    """Mean of the two, F1 over answerable questions, and F1 of refusing, at these thresholds."""
    similarity, refuse_at, support = thresholds
    refused = [
        s.refused or s.similarity < similarity or s.unanswerable >= refuse_at or s.support < support for s in signals
    ]
    kept = [0.0 if no else s.f1 for s, no in zip(signals, refused, strict=True) if s.answerable]
    answer_f1 = mean(kept) or 0.0
    refusal_f1 = refusal_scores(refused, [s.answerable for s in signals])["refusal_f1"] or 0.0
    return (answer_f1 + refusal_f1) / 2, answer_f1, refusal_f1


if __name__ == "__main__":
    main()
