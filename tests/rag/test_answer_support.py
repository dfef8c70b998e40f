"""How probable an answer is right: which regression rates what, its features, and broken files."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from rag.answer_support import ANSWERS_FILE, FEATURES, AnswerRater, Draft, features, kind_of
from rag.reader import Reading, Span
from rag.types import ModelBroken, ModelMissing
from rag.weights_trained import CHECK, models_in_repository

READING = Reading(0.1, (Span(0, 0, 4, "nine watts", 8.0, 0.7), Span(0, 9, 12, "ten", 5.0, 0.2)))
DRAFT = Draft("nine watts", 0.9, READING, "nine watts", (0.9, 0.5), unanswerable=0.2, nearest=0.6)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, "written"),
        ({"text": "ten"}, "read"),
        ({"text": "ten", "unanswerable": None}, "read"),
        ({"unanswerable": None}, "foreign"),
        ({"text": "Yes.", "written": "Yes."}, "yes_no"),
        ({"text": "Yes.", "written": "Yes.", "unanswerable": None}, ""),
        ({"text": "a " * 13, "written": "a " * 13}, ""),
    ],
)
def test_each_kind_of_answer_has_its_own_regression(change: dict[str, object], kind: str) -> None:
    assert kind_of(replace(DRAFT, **change)) == kind  # type: ignore[arg-type]


def test_features_are_what_they_say() -> None:
    told = features(DRAFT)
    assert told["least"] == pytest.approx(0.0)  # log-odds of .5
    assert told["mean"] == pytest.approx((math.log(0.9) + math.log(0.5)) / 2)
    assert told["told"] == pytest.approx(math.log(9))  # log-odds of .9
    assert told["agrees"] == told["near"] == 1.0 and told["lead"] == pytest.approx(0.6)
    other = features(replace(DRAFT, text="ten"))
    assert other["agrees"] == 0.0 and other["near"] == 1.0
    refused = features(replace(DRAFT, text="ten", written="", sure=()))
    assert refused["agrees"] == refused["near"] == 0.0
    assert all(set(names) <= set(told) for names in FEATURES.values())


def test_zero_probabilities_stay_finite() -> None:
    told = features(replace(DRAFT, support=0.0, sure=(0.0,), unanswerable=1.0, reading=Reading(1.0)))
    assert all(math.isfinite(value) for value in told.values())


def test_the_shipped_ratings_order_answers_and_leave_long_ones_to_the_check() -> None:
    rater = AnswerRater.load(models_in_repository() / CHECK / ANSWERS_FILE)
    sure, unsure = replace(DRAFT, sure=(0.99,)), replace(DRAFT, sure=(0.2,), reading=Reading(0.9))
    low, high = rater.rate(unsure), rater.rate(sure)
    assert low is not None and high is not None and 0 < low < high < 1
    assert rater.rate(replace(DRAFT, text="word " * 20, written="word " * 20)) is None


def test_missing_and_broken_files_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"fit_answers\.py"):
        AnswerRater.load(tmp_path / ANSWERS_FILE)
    (tmp_path / ANSWERS_FILE).write_text(json.dumps({"written": {"weights": {"support": 1.0}, "bias": 0.0}}))
    with pytest.raises(ModelBroken, match="no ratings"):
        AnswerRater.load(tmp_path / ANSWERS_FILE)
