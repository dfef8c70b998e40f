"""Fits how probable answers are right (rag/answer_support.py) and writes models/answerable-check/answers.json.

    python -m benchmarks.fit_answers QA_DEV_FOLDER --out models/answerable-check/answers.json [--kept drafts.jsonl]

Each question of the dev suites is answered through the pipeline's own parts, the generator never stopped, and what is
known of its answer and of the reader's span is kept in a file, so that a fit need not ask again. An answer counts as
right where its token F1 reaches .5; to a question that its passages do not answer nothing is right. Suites count
alike. Cross-validation is by question (five folds), since a question may stand in two suites. Printed by suite: area
under the ROC curve of the check's support alone and of the fitted one, calibration error, and the error rate among the
fifth-highest of rated answers beside that of all (risk at 80% coverage). Needs the models in HOME.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict

from eval.calibration import auroc, expected_calibration_error
from eval.qa import COLLECTION, QaEvaluation, as_document
from eval.scratch import scratch_search
from ingest.build import build_ingester
from rag.answer_support import FEATURES, Draft, features, kind_of
from rag.answers import token_f1
from rag.build import build_pipeline
from rag.datafiles import QaRow, read_qa
from rag.reader import Reading, Span
from rag.settings import load_settings
from train.sources import question_file

SUITES = {
    **{"squad2/closed": 536, "nq_oracle/closed": 400, "nq_oracle/open": 300},
    **{"boolq/closed": 250},
}
YES_NO = ("boolq",)
RIGHT = 0.5  # token F1
COVERAGE = 0.8
_PENALTY = 3.0
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Rated:
    """A draft to a question of a suite, and whether it is right."""

    suite: str
    id: str
    draft: Draft
    right: bool


def gather(folder: Path, kept: Path) -> None:
    """Ask the questions of all suites and write what came of each to ``kept``, a JSON line a question."""
    settings = load_settings()
    with kept.open("w", encoding="utf-8") as out:
        for suite, limit in SUITES.items():
            name, how = suite.split("/")
            rows = read_qa(question_file(folder, name), limit)
            with scratch_search(settings) as search:
                evaluation = QaEvaluation(
                    build_pipeline(settings, search), build_ingester(settings, search), settings.top_k
                )
                if how == "open":
                    sources = dict.fromkeys(source for row in rows for source in row.passages)
                    evaluation.ingester.ingest_documents([as_document(source) for source in sources], COLLECTION)
                for row in rows:
                    for line in _drafts(evaluation, row, how):
                        out.write(json.dumps({"suite": suite, "id": row.id, **line}) + "\n")


def _drafts(evaluation: QaEvaluation, row: QaRow, how: str) -> Iterator[dict[str, Any]]:
    pipeline = evaluation.pipeline
    for draft in pipeline.drafts(evaluation.question(row), None if how == "open" else evaluation.passages(row)):
        right = row.answerable and token_f1(draft.text, row.answers) >= RIGHT
        yield {"draft": asdict(draft), "right": right}


def read_kept(kept: Path) -> list[Rated]:
    """The drafts of a file that `gather` wrote."""
    found = []
    for line in kept.read_text("utf-8").splitlines():
        fields = json.loads(line)
        draft = fields["draft"]
        reading = draft.pop("reading")
        spans = tuple(Span(**span) for span in reading["spans"])
        full = Draft(**draft, reading=Reading(reading["no_answer"], spans))
        found.append(Rated(fields["suite"], fields["id"], full, fields["right"]))
    return found


def fit(rated: Sequence[Rated], names: Sequence[str]) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """Weights and bias for answers.json, and the held-out probability of each draft (N,)."""
    values = np.array([[features(one.draft)[name] for name in names] for one in rated])  # (N, F)
    right = np.array([one.right for one in rated])
    suites = [one.suite for one in rated]
    weights = np.array([len(suites) / (len(set(suites)) * suites.count(suite)) for suite in suites])
    model = LogisticRegression(C=1 / _PENALTY, max_iter=3000)
    held_out = cross_val_predict(
        model,
        values,
        right,
        groups=[one.id for one in rated],
        cv=GroupKFold(5, shuffle=True, random_state=0),
        method="predict_proba",
        params={"sample_weight": weights},
    )[:, 1]
    model.fit(values, right, sample_weight=weights)
    fields = {
        "weights": {name: round(float(weight), _DIGITS) for name, weight in zip(names, model.coef_[0], strict=True)},
        "bias": round(float(model.intercept_[0]), _DIGITS),
        "threshold": 0.5,
        "fitted_on": {"drafts": len(rated), "suites": {suite: suites.count(suite) for suite in sorted(set(suites))}},
    }
    return fields, held_out


def _fits(one: Rated, kind: str) -> bool:
    """Whether ``kind`` is fitted on this draft: "yes_no" on yes/no questions, the others on the others."""
    return kind_of(one.draft) == kind and (kind == "yes_no") == (one.suite.split("/")[0] in YES_NO)


def by_suite(rated: Sequence[Rated], support: NDArray[np.float64]) -> dict[str, Mapping[str, Any]]:
    """The figures of each suite: n, share right, and for the check alone and the fit what the head of the file says."""
    found: dict[str, Mapping[str, Any]] = {}
    for suite in sorted({one.suite for one in rated}):
        chosen = [number for number, one in enumerate(rated) if one.suite == suite]
        right = [rated[number].right for number in chosen]
        fitted = [float(support[number]) for number in chosen]
        checked = [rated[number].draft.support for number in chosen]
        kept = sorted(range(len(chosen)), key=lambda place: -fitted[place])[: round(COVERAGE * len(chosen))]
        found[suite] = {
            "n": len(chosen),
            "right": _round(sum(right) / len(right)),
            "auroc_check": _round(auroc(checked, right)),
            "auroc": _round(auroc(fitted, right)),
            "ece": _round(expected_calibration_error(fitted, right)),
            "error": _round(1 - sum(right) / len(right)),
            "error_at_80": _round(1 - sum(right[place] for place in kept) / max(1, len(kept))),
        }
    return found


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), _DIGITS)


def main() -> None:
    """Asks where nothing is kept, fits, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the dev question files")
    parser.add_argument("--out", type=Path, required=True, help="answers.json to write")
    parser.add_argument("--kept", type=Path, default=Path("drafts.jsonl"), help="what was asked, to fit from again")
    options = parser.parse_args()
    if not options.kept.is_file():
        gather(options.folder, options.kept)
    drafts = read_kept(options.kept)
    fitted: dict[str, Any] = {}
    for kind, names in FEATURES.items():
        # What a generator without probabilities writes is fitted on ours, without its probabilities.
        own = [one for one in drafts if _fits(one, "written" if kind == "foreign" else kind)]
        fitted[kind], held_out = fit(own, names)
        fitted[kind]["cross_validated"] = by_suite(own, held_out)
    text = json.dumps(fitted, indent=1)
    print(text)
    options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
