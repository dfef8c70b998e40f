"""Fits whether passages answer, once an answer was tried (rag/answerable.py), and says what that is worth.

    python -m benchmarks.fit_answered QA/dev/squad2.jsonl.gz QA/dev/mtrag.jsonl.gz [--out models/answerable-check]

Each row's question is put to the row's own passages through the pipeline as served, and the signals are kept in a file,
so that a fit need not ask again. A logistic regression is fitted on one half of the rows and measured on the other,
both ways round; AUROC and ECE printed are of rows that the fit had not seen. What is written is fitted on all rows.
Rows of a passage stay in one half. Questions by themselves and turns of conversations have a regression each. A row
without any passage has nothing to be asked of: it is told by its own line, with the probability 0.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmarks.fit_answerable import half_of, print_figures
from eval.qa import QaEvaluation
from eval.scratch import scratch_search
from ingest.build import build_ingester
from rag.answerable import ANSWERABLE_FILE, FEATURES, KINDS, kind_of
from rag.build import build_pipeline
from rag.datafiles import read_qa
from rag.settings import load_settings

_PENALTY = 3.0
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Row:
    """A question's signals (none without passages), whether they answer it, its file, kind, and half of the rows."""

    file: str
    kind: str
    half: bool
    answerable: bool
    signals: dict[str, float] | None


def main() -> None:
    """Ask where nothing is kept, print AUROC and ECE of each file, and write the regression."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, help=f"folder to write {ANSWERABLE_FILE} to")
    parser.add_argument("--kept", type=Path, default=Path("signals.jsonl"), help="what was asked, to fit from again")
    given = parser.parse_args()
    if not given.kept.is_file():
        gather(given.files, given.kept)
    rows = [Row(**json.loads(line)) for line in given.kept.read_text("utf-8").splitlines()]
    unseen, flags = held_out(rows), np.array([row.answerable for row in rows])
    for name in sorted({row.file for row in rows}):
        of_file = [place for place, row in enumerate(rows) if row.file == name]
        print_figures(f"{name}, all rows", unseen[of_file], flags[of_file])
    asked = [place for place, row in enumerate(rows) if row.signals is not None]
    for name in sorted({rows[place].file for place in asked}):
        chosen = [place for place in asked if rows[place].file == name]
        print_figures(f"{name}, with passages", unseen[chosen], flags[chosen])
    print_figures("both, with passages", unseen[asked], flags[asked])
    if given.out:
        fitted = {kind: written([row for row in rows if row.kind == kind]) for kind in KINDS}
        (given.out / ANSWERABLE_FILE).write_text(json.dumps(fitted, indent=1) + "\n", "utf-8")


def gather(files: Sequence[Path], kept: Path) -> None:
    """Ask the questions of all files, and write what came of each to ``kept``, a JSON line a question, once all are."""
    settings, part = load_settings(), kept.with_name(f"{kept.name}.part")
    with part.open("w", encoding="utf-8") as out, scratch_search(settings) as search:
        pipeline = build_pipeline(settings, search)
        evaluation = QaEvaluation(pipeline, build_ingester(settings, search), settings.top_k)
        for path in files:
            for row in read_qa(path):
                question = evaluation.question(row)
                signals = pipeline.signals(question, evaluation.passages(row)) if row.passages else None
                told = Row(
                    path.name.split(".")[0], kind_of(bool(question.history)), half_of(row), row.answerable, signals
                )
                out.write(json.dumps(asdict(told)) + "\n")
    part.replace(kept)


def fit(rows: Sequence[Row]) -> tuple[NDArray[np.float64], float]:
    """Weights of FEATURES (F,), and the bias, of rows that have signals."""
    scaler = StandardScaler().fit(_values(rows))
    model = LogisticRegression(C=1 / _PENALTY, max_iter=3000)
    model.fit(scaler.transform(_values(rows)), [row.answerable for row in rows])
    coefficients = model.coef_[0] / scaler.scale_
    return coefficients, float(model.intercept_[0] - coefficients @ scaler.mean_)


def held_out(rows: Sequence[Row]) -> NDArray[np.float64]:
    """The probability of each row (N,) by the fit of its kind on the other half; 0 without signals."""
    unseen = np.zeros(len(rows))
    known = [(place, row) for place, row in enumerate(rows) if row.signals is not None]
    for kind, side in itertools.product(KINDS, (False, True)):
        others = [row for _, row in known if row.kind == kind and row.half != side]
        these = [(place, row) for place, row in known if row.kind == kind and row.half == side]
        if these:
            weights, bias = fit(others)
            logits = _values([row for _, row in these]) @ weights + bias
            unseen[[place for place, _ in these]] = 1 / (1 + np.exp(-logits))
    return unseen


def written(rows: Sequence[Row]) -> dict[str, object]:
    """What rag/answerable.py reads, of one kind."""
    known = [row for row in rows if row.signals is not None]
    weights, bias = fit(known)
    named = {name: round(float(weight), _DIGITS) for name, weight in zip(FEATURES, weights, strict=True)}
    return {"weights": named, "bias": round(bias, _DIGITS), "threshold": 0.5, "fitted_on": len(known)}


def _values(rows: Sequence[Row]) -> NDArray[np.float64]:
    return np.array([[(row.signals or {})[name] for name in FEATURES] for row in rows])  # (N, F)


if __name__ == "__main__":
    main()
