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
from rag.types import ModelBroken, ModelMissing, Passage
from rag.weights_trained import CHECK, models_in_repository

READING = Reading(0.05, (Span(0, 4, 14, "nine watts", 8.0, 0.7), Span(1, 0, 3, "ten", 6.0, 0.1)))
DRAFT = Draft("nine watts", 0.0, READING, "nine watts", (0.9, 0.8), unanswerable=0.1, nearest=0.7)
PASSAGES = (
    Passage(0, "d", "Heater", "/d.txt", 0, 43, "It: nine watts are drawn. It does not stop.", ""),
    Passage(1, "d", "Heater", "/d.txt", 0, 4, "Ten.", ""),
)
ASKED = "How many watts does the heater draw?"


def test_features_are_those_of_the_draft_and_the_questions_negation() -> None:
    told = features(ASKED, DRAFT, PASSAGES)
    assert set(told) == set(FEATURES)
    assert told["told"] == pytest.approx(math.log(19)) and told["unanswerable"] == pytest.approx(math.log(1 / 9))
    assert (told["agrees"], told["nearest"], told["negated"]) == (1.0, 0.7, 0.0)
    assert told["lead"] == pytest.approx(0.4)
    nothing = features("?", replace(DRAFT, text="", written="", sure=(), reading=Reading(1.0)), ())
    assert nothing["agrees"] == 0.0 and all(math.isfinite(value) for value in nothing.values())


@pytest.mark.parametrize(("asked", "negated", "turned"), [(ASKED, 0, 0), ("Which heater doesn't draw it?", 1, 1)])
def test_a_negation_is_looked_for_in_question_and_sentence(asked: str, negated: int, turned: int) -> None:
    told = features(asked, DRAFT, PASSAGES)
    assert (told["negated"], told["turned"]) == (negated, turned)
    within = replace(DRAFT, reading=Reading(0.05, (replace(READING.spans[0], start=26, end=31),)))
    told = features(asked, within, PASSAGES)  # in the sentence that does say "not"
    assert (told["negated"], told["turned"]) == (negated, 1 - turned)


def test_the_shipped_regression_believes_reader_and_generator() -> None:
    known = Answerability.load(models_in_repository() / CHECK / ANSWERABLE_FILE)

    def probability(draft: Draft, turn: bool = False) -> float:
        return known.probability(features(ASKED, draft, PASSAGES), turn)

    sure = probability(DRAFT)
    doubted = probability(replace(DRAFT, unanswerable=0.8, sure=(0.2,), written="ten", text="ten"))
    refusal = replace(DRAFT, text="", written="", sure=(), unanswerable=0.97, reading=Reading(0.98, READING.spans))
    assert 0 < probability(refusal) < doubted < sure < 1
    assert probability(refusal) < 0.4 < 0.6 < sure
    assert 0 < probability(refusal, turn=True) < probability(DRAFT, turn=True) < 1


def test_missing_and_broken_files_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"fit_answered\.py"):
        Answerability.load(tmp_path / ANSWERABLE_FILE)
    (tmp_path / ANSWERABLE_FILE).write_text(
        json.dumps({"question": {"weights": {"told": 1.0}, "bias": 0.0, "threshold": 0.5}})
    )
    with pytest.raises(ModelBroken, match="no such regressions"):
        Answerability.load(tmp_path / ANSWERABLE_FILE)
