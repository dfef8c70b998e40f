"""Fits whether passages answer, once an answer was tried (rag/answerable.py), and says what that is worth.

    python -m benchmarks.fit_answered QA/dev/squad2.jsonl.gz QA/dev/mtrag.jsonl.gz [--out models/answerable-check]

Each row's question is put to the row's own passages through the pipeline as served, and the signals are kept in a file,
so that a fit need not ask again. A logistic regression is fitted on one half of the rows and measured on the other,
both ways round; AUROC and ECE printed are of rows that the fit had not seen. What is written is fitted on all rows.
Rows of a passage stay in one half. Files count alike.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from eval.calibration import auroc, expected_calibration_error
from eval.qa import QaEvaluation
from eval.scratch import scratch_search
from ingest.build import build_ingester
from rag.answerable import ANSWERABLE_FILE, FEATURES
from rag.build import build_pipeline
from rag.datafiles import QaRow, read_qa
from rag.settings import load_settings

_PENALTY = 3.0
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Row:
    """A question's signals, whether its passages answer it, its file, and the half of the rows that it is in."""

    file: str
    half: bool
    answerable: bool
    signals: dict[str, float]


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
    unseen = held_out(rows)
    for name in sorted({row.file for row in rows}):
        chosen = [place for place, row in enumerate(rows) if row.file == name]
        _print(name, [rows[place] for place in chosen], unseen[chosen])
    _print("all", rows, unseen)
    if given.out:
        text = json.dumps(written(rows), indent=1)
        (given.out / ANSWERABLE_FILE).write_text(text + "\n", "utf-8")


def gather(files: Sequence[Path], kept: Path) -> None:
    """Ask the questions of all files, and write what came of each to ``kept``, a JSON line a question."""
    settings = load_settings()
    with kept.open("w", encoding="utf-8") as out, scratch_search(settings) as search:
        pipeline = build_pipeline(settings, search)
        evaluation = QaEvaluation(pipeline, build_ingester(settings, search), settings.top_k)
        for path in files:
            for row in read_qa(path):
                if not row.passages:
                    continue
                signals = pipeline.signals(evaluation.question(row), evaluation.passages(row))
                line = {"file": path.name.split(".")[0], "half": _half(row), "answerable": row.answerable}
                out.write(json.dumps(line | {"signals": signals}) + "\n")
                out.flush()


def fit(rows: Sequence[Row]) -> tuple[NDArray[np.float64], float]:
    """Weights of FEATURES (F,), and the bias."""
    scaler = StandardScaler().fit(_values(rows))
    files = [row.file for row in rows]
    weights = np.array([len(files) / (len(set(files)) * files.count(name)) for name in files])
    model = LogisticRegression(C=1 / _PENALTY, max_iter=3000)
    model.fit(scaler.transform(_values(rows)), [row.answerable for row in rows], sample_weight=weights)
    coefficients = model.coef_[0] / scaler.scale_
    return coefficients, float(model.intercept_[0] - coefficients @ scaler.mean_)


def held_out(rows: Sequence[Row]) -> NDArray[np.float64]:
    """The probability of each row (N,) by the fit on the other half."""
    unseen = np.zeros(len(rows))
    for side in (False, True):
        weights, bias = fit([row for row in rows if row.half != side])
        of_side = [place for place, row in enumerate(rows) if row.half == side]
        unseen[of_side] = 1 / (1 + np.exp(-(_values([rows[place] for place in of_side]) @ weights + bias)))
    return unseen


def written(rows: Sequence[Row]) -> dict[str, object]:
    """What rag/answerable.py reads."""
    weights, bias = fit(rows)
    named = {name: round(float(weight), _DIGITS) for name, weight in zip(FEATURES, weights, strict=True)}
    files = [row.file for row in rows]
    return {
        "weights": named,
        "bias": round(bias, _DIGITS),
        "threshold": 0.5,
        "fitted_on": {name: files.count(name) for name in sorted(set(files))},
    }


def _values(rows: Sequence[Row]) -> NDArray[np.float64]:
    return np.array([[row.signals[name] for name in FEATURES] for row in rows])  # (N, F)


def _half(row: QaRow) -> bool:
    text = "\0".join(passage.text for passage in row.passages)
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()[0] % 2 == 0


def _print(name: str, rows: Sequence[Row], support: NDArray[np.float64]) -> None:
    given, right = support.tolist(), [row.answerable for row in rows]
    area, error = auroc(given, right), expected_calibration_error(given, right)
    print(f"{name:12} n {len(right):5d}  AUROC {area or 0:.4f}  ECE {error or 0:.4f}")


if __name__ == "__main__":
    main()
