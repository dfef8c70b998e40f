"""Fit the reranker's probability that passages answer a question: calibration.json, and what it is worth.

    python -m benchmarks.fit_answerable QA/dev/squad2.jsonl.gz QA/dev/mtrag.jsonl.gz --out models/answerable-rerank

Each row's question is put to the row's own passages. A logistic model over four figures of the logits (rag/rerank.py)
is fitted on one half of the rows and measured on the other, both ways round; AUROC and ECE printed are of rows that the
fit had not seen. The file that is written is fitted on all rows.
Rows of a passage stay in one half.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from eval.calibration import auroc, expected_calibration_error
from rag.build import build_reranker
from rag.datafiles import QaRow, read_qa
from rag.followup import standalone
from rag.rerank import CALIBRATION_FILE, FEATURES, features
from rag.settings import load_settings
from rag.types import ModelMissing, Question


def main() -> None:
    """Print AUROC and ECE of each file, and write the calibration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, help="folder to write calibration.json to")
    given = parser.parse_args()
    files = [read_qa(path) for path in given.files]
    rows = [row for file in files for row in file if row.passages]
    values, flags = measured(rows), np.array([row.answerable for row in rows])
    half = np.array([half_of(row) for row in rows])
    unseen = np.zeros(len(rows))
    for side in (False, True):
        model = fit(values[half != side], flags[half != side])
        unseen[half == side] = model.predict_proba(values[half == side])[:, 1]
    for name in sorted({row.dataset for row in rows}):
        chosen = np.array([row.dataset == name for row in rows])
        print_figures(name, unseen[chosen], flags[chosen])
    print_figures("all", unseen, flags)
    if given.out:
        write(fit(values, flags), given.out, [path.name for path in given.files])


def measured(rows: Sequence[QaRow]) -> NDArray[np.float64]:
    """FEATURES of each row, (N, 4). Raises ModelMissing where there is no reranker."""
    reranker = build_reranker(load_settings())
    if reranker is None:
        raise ModelMissing("no reranker: train one, put it into models/answerable-rerank, run: answerable models pull")
    found = []
    for row in rows:
        question = standalone(Question(row.question, history=row.history))
        logits = reranker.logits(question, [f"{passage.title}\n{passage.text}" for passage in row.passages])
        found.append([features(logits)[name] for name in FEATURES])
    return np.array(found)


def fit(values: NDArray[np.float64], flags: NDArray[np.bool_]) -> LogisticRegression:
    """A logistic model, weakly regularised."""
    return LogisticRegression(C=10.0, max_iter=1000).fit(values, flags)


def write(model: LogisticRegression, folder: Path, files: Sequence[str]) -> None:
    """The file that rag/rerank.py reads."""
    weights = dict(zip(FEATURES, map(float, model.coef_[0]), strict=True))
    text = json.dumps({"weights": weights, "bias": float(model.intercept_[0]), "fitted_on": list(files)}, indent=1)
    (folder / CALIBRATION_FILE).write_text(text + "\n", "utf-8")


def half_of(row: QaRow) -> bool:
    """Which half of the rows it is in; rows of the same passages are in the same."""
    text = "\0".join(passage.text for passage in row.passages)
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()[0] % 2 == 0


def print_figures(name: str, confidences: NDArray[np.float64], flags: NDArray[np.bool_]) -> None:
    """AUROC and ECE of probabilities (N,), ``flags`` saying what is answerable."""
    given, right = confidences.tolist(), flags.tolist()
    area, error = auroc(given, right), expected_calibration_error(given, right)
    print(f"{name:24} n {len(right):5d}  AUROC {area or 0:.4f}  ECE {error or 0:.4f}")


if __name__ == "__main__":
    main()
