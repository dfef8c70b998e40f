from __future__ import annotations

import json
import random

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, precision_recall_fscore_support

from eval.metrics import (
    CheckedClaim,
    ClaimResult,
    QaResult,
    balanced_accuracy,
    claim_metrics,
    percentile,
    qa_metrics,
    refusal_scores,
    score_answer,
)
from rag.datafiles import Label
from rag.types import Verdict

QA_KEYS = {
    *("n", "em", "f1", "rouge_l", "answer_rate", "refusal_precision", "refusal_recall", "refusal_f1"),
    *("support_auroc", "ece", "aurc", "hallucination_rate", "citation_precision", "citation_recall"),
    *("latency_ms_p50", "latency_ms_p95"),
}
SUPPORTED = CheckedClaim(Verdict.SUPPORTED, ("p1",))


def _answer(text: str = "1901", *, answerable: bool = True, **changes: object) -> QaResult:
    fields: dict[str, object] = {"support": 0.9, "claims": (SUPPORTED,), "gold_passages": frozenset({"p1"})}
    return QaResult("q", answerable, ("1901",), text, False, **{**fields, **changes})  # type: ignore[arg-type]


def _refusal(*, answerable: bool) -> QaResult:
    return QaResult("q", answerable, ("1901",), "1901", True)


def test_figures_of_a_small_file_worked_by_hand() -> None:
    wrong_claims = (SUPPORTED, CheckedClaim(Verdict.CONTRADICTED, ("p2", "p3")))
    metrics = qa_metrics(
        [
            _answer(support=0.9, latency_ms=100.0),
            _answer("in 1905", support=0.3, claims=wrong_claims, latency_ms=200.0),
            _refusal(answerable=True),
            _refusal(answerable=False),
            _answer(answerable=False, support=0.4, gold_passages=frozenset()),
        ]
    )
    assert metrics["n"] == 5
    assert metrics["em"] == metrics["f1"] == metrics["rouge_l"] == pytest.approx(1 / 3)
    assert metrics["answer_rate"] == pytest.approx(3 / 5)
    assert (metrics["refusal_precision"], metrics["refusal_recall"], metrics["refusal_f1"]) == (0.5, 0.5, 0.5)
    assert metrics["support_auroc"] == 1.0
    assert metrics["ece"] == pytest.approx((0.1 + 0.3 + 0.4) / 3)
    assert metrics["aurc"] == pytest.approx((0 + 1 / 2 + 2 / 3) / 3)
    assert metrics["hallucination_rate"] == pytest.approx(1 / 3)
    assert metrics["citation_precision"] == pytest.approx((1 + 1 / 3) / 2)
    assert metrics["citation_recall"] == pytest.approx((1 + 1 / 2) / 2)
    assert metrics["latency_ms_p50"] == 0.0


def test_keys_are_the_contract_and_brier() -> None:
    assert set(qa_metrics([_answer()])) >= QA_KEYS | {"brier", "accuracy_at_80"}
    assert set(claim_metrics([])) == {"n", "balanced_accuracy", "auroc", "ece", "correlation", "brier", "by_dataset"}


def test_a_refusal_scores_zero_even_where_its_text_holds_the_answer() -> None:
    assert score_answer(_refusal(answerable=True)).f1 == 0.0


def test_answering_an_unanswerable_question_is_never_correct() -> None:
    assert not score_answer(_answer(answerable=False)).correct


def test_an_answer_without_citations_has_citation_precision_zero() -> None:
    metrics = qa_metrics([_answer(claims=(CheckedClaim(Verdict.SUPPORTED),))])
    assert (metrics["citation_precision"], metrics["citation_recall"]) == (0.0, 0.0)


@pytest.mark.parametrize("rows", [[], [_refusal(answerable=True)], [_answer(answerable=False)]])
def test_what_is_not_defined_is_null_and_json_never_holds_nan(rows: list[QaResult]) -> None:
    metrics = qa_metrics(rows)
    assert metrics["support_auroc"] is None
    assert metrics["citation_precision"] is None
    json.dumps(metrics, allow_nan=False)


def test_refusal_scores_equal_scikit_learn() -> None:
    draw = random.Random(1)
    refused, answerable = [draw.random() < 0.4 for _ in range(60)], [draw.random() < 0.6 for _ in range(60)]
    truth = [not value for value in answerable]
    precision, recall, f1, _ = precision_recall_fscore_support(truth, refused, average="binary")
    assert list(refusal_scores(refused, answerable).values()) == pytest.approx([precision, recall, f1])


def test_balanced_accuracy_equals_scikit_learn() -> None:
    draw = random.Random(2)
    said, truth = [draw.random() < 0.4 for _ in range(70)], [draw.random() < 0.7 for _ in range(70)]
    assert balanced_accuracy(said, truth) == pytest.approx(balanced_accuracy_score(truth, said))
    assert balanced_accuracy([True], [True]) is None


def test_claims_are_supported_against_the_rest_for_each_data_set() -> None:
    rows = [
        ClaimResult("1", "a", Label.SUPPORTED, 0.9, Verdict.SUPPORTED),
        ClaimResult("2", "a", Label.REFUTED, 0.2, Verdict.CONTRADICTED),
        ClaimResult("3", "a", Label.NEI, 0.8, Verdict.SUPPORTED),
        ClaimResult("4", "b", Label.NOT_SUPPORTED, 0.1, Verdict.UNSUPPORTED),
    ]
    metrics = claim_metrics(rows)
    assert metrics["balanced_accuracy"] == pytest.approx((1 + 2 / 3) / 2)
    assert metrics["auroc"] == 1.0
    by_dataset = metrics["by_dataset"]
    assert isinstance(by_dataset, dict)
    assert by_dataset["a"]["balanced_accuracy"] == pytest.approx((1 + 1 / 2) / 2)
    assert by_dataset["b"] == {
        "n": 1,
        "correlation": None,
        "balanced_accuracy": None,
        "auroc": None,
        "ece": pytest.approx(0.1),
        "brier": pytest.approx(0.01),
    }


def test_percentile_is_linear_between_neighbours() -> None:
    assert percentile([10.0, 20.0], 50) == 15.0
    assert percentile(list(range(1, 101)), 95) == pytest.approx(np.quantile(range(1, 101), 0.95))
    assert percentile([], 50) is None
