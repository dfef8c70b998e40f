"""Fits the combiner of the trained check (rag/combine.py) and writes models/answerable-check/combiner.json.

    python -m benchmarks.fit_check --data data --out models/answerable-check/combiner.json [--per-file 400]

Without a question: claims/dev and sentences of qa/dev/squad2, whole and with one error. With a question: right and
wrong answers to questions of qa/dev (squad2, nq_oracle, boolq), which carry the reader's features too. Statements: such
answers made one sentence with their question (train/statements.py; squad2, nq_oracle), right ones with one error put in
(train/claim_edits.py), and the golden set's planted errors in examples/; those in other documents stay held out. Files
count alike, and so do supported and not supported within a file. Prints, by five-fold cross-validation over files'
rows, the area under the ROC curve, the calibration error and the balanced accuracy, for the model's own chance and for
the combiner; then writes the fit on all rows. Needs the check (and the reader) in HOME: answerable models pull.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from benchmarks.verifiers import PLANTED_FILE
from eval.calibration import auroc, expected_calibration_error
from rag.build import build_reader
from rag.check import TrainedVerifier
from rag.combine import FEATURES, Combiner
from rag.datafiles import ClaimRow, Label, read_claims, read_qa
from rag.settings import load_settings
from rag.types import Passage
from rag.verify import LinearCheck
from rag.weights import require
from rag.weights_trained import CHECK
from train.claim_edits import edit
from train.edits import make_edits
from train.pairs import make_pairs
from train.sources import question_file
from train.statements import statement

ASKED_FILES = ("squad2", "nq_oracle", "boolq")
STATED_FILES = ("squad2", "nq_oracle")
GOLDEN = "examples-"  # the planted errors that are fitted on; those of other documents are held out
_DIGITS = 4
_PENALTY = 0.5


@dataclass(frozen=True, slots=True)
class Told:
    """Features of rows (N, F), whether each is supported (N,), and the file that it comes from."""

    values: NDArray[np.float64]
    supported: NDArray[np.bool_]
    files: list[str]

    @property
    def weights(self) -> NDArray[np.float64]:
        """One each for every file and label, shared by its rows."""
        groups = list(zip(self.files, self.supported.tolist(), strict=True))
        counts = Counter(groups)
        shares = np.array([1 / counts[group] for group in groups])
        weights: NDArray[np.float64] = shares * len(groups) / shares.sum()
        return weights


RowsByFile = dict[str, list[ClaimRow]]


def dev_rows(data: Path, per_file: int, seed: int = 0) -> dict[str, RowsByFile]:
    """Rows by file for each regression."""
    free = {path.name.split(".")[0]: read_claims(path) for path in sorted((data / "claims" / "dev").glob("*.jsonl*"))}
    questions = {name: read_qa(question_file(data / "qa" / "dev", name)) for name in {*ASKED_FILES, *STATED_FILES}}
    free["edits"] = make_edits(questions["squad2"], seed)
    asked = {name: make_pairs(questions[name], seed) for name in ASKED_FILES}
    stated = {name: make_statements(make_pairs(questions[name], seed), seed) for name in STATED_FILES}
    stated["golden"] = [row for row in read_claims(PLANTED_FILE) if row.id.startswith(GOLDEN) and row.question]
    kinds = {"free": free, "asked": asked, "stated": stated}
    return {kind: _drawn(rows, per_file, seed) for kind, rows in kinds.items()}


def make_statements(pairs: Sequence[ClaimRow], seed: int) -> list[ClaimRow]:
    """Those answers that a rule turns into a statement with their question; after each right one, one with an error."""
    draw = random.Random(f"{seed} statements")
    found = []
    for row in pairs:
        if not (text := statement(row.question, row.claim)):
            continue
        found.append(replace(row, claim=text))
        if row.label is Label.SUPPORTED and (wrong := edit(text, [row.passage], draw)):
            found.append(replace(row, id=f"{row.id}-{wrong.kind}", claim=wrong.text, label=wrong.label))
    return found


def _drawn(rows: Mapping[str, Sequence[ClaimRow]], per_file: int, seed: int) -> RowsByFile:
    return {name: random.Random(seed).sample(found, min(per_file, len(found))) for name, found in rows.items()}


def gather(verifier: TrainedVerifier, rows: Mapping[str, Sequence[ClaimRow]], names: Sequence[str]) -> Told:
    """The features of each row's claim; of a long one those of its weakest part."""
    values, supported, files = [], [], []
    for name, found in rows.items():
        for row in found:
            passage = Passage(0, row.id, "", row.id, 0, len(row.passage), row.passage)
            parts = verifier.signals([row.claim], [passage], row.question)[0]
            if parts:
                weakest = min(parts, key=lambda part: part["support"])
                values.append([weakest[one] for one in names])
                supported.append(row.label is Label.SUPPORTED)
                files.append(name)
    return Told(np.array(values), np.array(supported), files)


def fit(told: Told, names: Sequence[str]) -> dict[str, Any]:
    """Weights, bias and threshold for combiner.json, and what cross-validation says of them."""
    model = LogisticRegression(C=1 / _PENALTY, max_iter=2000)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    held_out = cross_val_predict(
        model, told.values, told.supported, cv=folds, method="predict_proba", params={"sample_weight": told.weights}
    )[:, 1]
    model.fit(told.values, told.supported, sample_weight=told.weights)
    own = 1 / (1 + np.exp(-told.values[:, names.index("support")]))
    threshold = best_threshold(held_out, told)
    return {
        "weights": {name: round(float(weight), _DIGITS) for name, weight in zip(names, model.coef_[0], strict=True)},
        "bias": round(float(model.intercept_[0]), _DIGITS),
        "threshold": threshold,
        "fitted_on": {"rows": len(told.files), "files": dict(Counter(told.files))},
        "cross_validated": figures(held_out, told, threshold),
        "model_alone": figures(own, told, 0.5),
    }


def best_threshold(support: NDArray[np.float64], told: Told) -> float:
    """The support, in steps of .01, with the best mean balanced accuracy over files; the middle of the best ones."""
    steps = np.round(np.arange(0.05, 0.96, 0.01), 2)
    scores = np.array([_mean_accuracy(support, told, float(step)) for step in steps])
    return float(np.round(np.median(steps[scores >= scores.max() - 0.002]), 2))


def _mean_accuracy(support: NDArray[np.float64], told: Told, threshold: float) -> float:
    names = np.array(told.files)
    found = [
        balanced_accuracy_score(told.supported[names == name], support[names == name] >= threshold)
        for name in dict.fromkeys(told.files)
    ]
    return float(np.mean(found))


def figures(support: NDArray[np.float64], told: Told, threshold: float) -> dict[str, Any]:
    """Mean over files of the three figures, and balanced accuracy by file."""
    names = np.array(told.files)
    by_file = {}
    for name in dict.fromkeys(told.files):
        chances, right = support[names == name].tolist(), told.supported[names == name].tolist()
        said = [chance >= threshold for chance in chances]
        by_file[name] = (
            float(balanced_accuracy_score(right, said)),
            auroc(chances, right) or 0.5,
            expected_calibration_error(chances, right) or 0.0,
        )
    means = np.mean(list(by_file.values()), axis=0)
    return {
        "balanced_accuracy": round(float(means[0]), _DIGITS),
        "auroc": round(float(means[1]), _DIGITS),
        "ece": round(float(means[2]), _DIGITS),
        "by_file": {name: round(scores[0], _DIGITS) for name, scores in by_file.items()},
    }


def unfitted(folder: Path, threads: int, reader: Any) -> TrainedVerifier:
    """The check with a combiner of zeros, for its features alone."""
    flat = {kind: LinearCheck(dict.fromkeys(names, 0.0), 0.0, 0.5) for kind, names in FEATURES.items()}
    return TrainedVerifier.load_with(folder, Combiner(flat, ""), reader, threads)


def main() -> None:
    """Fits, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with claims/dev and qa/dev")
    parser.add_argument("--out", type=Path, required=True, help="combiner.json to write")
    parser.add_argument("--per-file", type=int, default=400, help="rows drawn from each file")
    options = parser.parse_args()
    settings = load_settings()
    verifier = unfitted(require(settings.home, CHECK), settings.threads, build_reader(settings))
    fitted = {}
    for kind, rows in dev_rows(options.data, options.per_file).items():
        fitted[kind] = fit(gather(verifier, rows, FEATURES[kind]), FEATURES[kind])
    text = json.dumps(fitted, indent=1)
    print(text)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
