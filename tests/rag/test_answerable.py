"""Whether passages answer, once an answer was tried: its features, the shipped regression, and broken files."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from rag.answer_support import Draft
from rag.answerable import ANSWERABLE_FILE, FEATURES, Answerability, features
from rag.reader import Reading, Span
from rag.types import ModelBroken, ModelMissing
from rag.weights_trained import CHECK, models_in_repository

READING = Reading(0.05, (Span(0, 4, 14, "nine watts", 8.0, 0.7), Span(1, 0, 3, "ten", 6.0, 0.1)))
DRAFT = Draft("nine watts", 0.0, READING, "nine watts", (0.9, 0.8), unanswerable=0.1, nearest=0.7)
ASKED = "How many watts does the heater draw?"


def test_features_are_those_of_the_draft_and_the_questions_negation() -> None:
    told = features(ASKED, DRAFT)
    assert set(told) == set(FEATURES)
    assert told["told"] == pytest.approx(math.log(19)) and told["unanswerable"] == pytest.approx(math.log(1 / 9))
    assert (told["agrees"], told["nearest"], told["negated"]) == (1.0, 0.7, 0.0)
    assert told["lead"] == pytest.approx(0.4)
    assert features("Which heater doesn't draw nine watts?", DRAFT)["negated"] == 1.0
    nothing = features("?", replace(DRAFT, text="", written="", sure=(), reading=Reading(1.0)))
    assert nothing["agrees"] == 0.0 and all(math.isfinite(value) for value in nothing.values())


def test_the_shipped_regression_believes_reader_and_generator() -> None:
    known = Answerability.load(models_in_repository() / CHECK / ANSWERABLE_FILE)
    sure = known.probability(ASKED, DRAFT, False)
    doubted = known.probability(ASKED, replace(DRAFT, unanswerable=0.8, sure=(0.2,), written="ten", text="ten"), False)
    refusal = replace(DRAFT, text="", written="", sure=(), unanswerable=0.97, reading=Reading(0.98, READING.spans))
    assert 0 < known.probability(ASKED, refusal, False) < doubted < sure < 1
    assert known.probability(ASKED, refusal, False) < 0.4 < 0.6 < sure
    assert 0 < known.probability(ASKED, refusal, True) < known.probability(ASKED, DRAFT, True) < 1


def test_missing_and_broken_files_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"fit_answered\.py"):
        Answerability.load(tmp_path / ANSWERABLE_FILE)
    (tmp_path / ANSWERABLE_FILE).write_text(
        json.dumps({"question": {"weights": {"told": 1.0}, "bias": 0.0, "threshold": 0.5}})
    )
    with pytest.raises(ModelBroken, match="no such regressions"):
        Answerability.load(tmp_path / ANSWERABLE_FILE)
