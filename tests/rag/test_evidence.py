from __future__ import annotations

import numpy as np
import pytest

from rag.evidence import ANSWER_FEATURES, SENTENCE_FEATURES, Placement, is_fragment, numbers_absent, place, view
from rag.words import read_words
from tests.fakes import HashEncoder

TEXT = (
    "The company was founded by Ada Lovell in Leeds. It sells pumps. The Skua 200 weighs 12 kg. "
    "It does not run on batteries. Spare parts ship within 3 days."
)


def _place(claim: str, text: str = TEXT, question: str = "") -> Placement:
    claims, passages = view([claim], [text], question, HashEncoder())
    placement = place(claims[0], passages[0])
    assert placement is not None
    return placement


def test_a_claim_is_placed_on_the_sentence_that_says_it() -> None:
    found = _place("The Skua 200 weighs 12 kg.")
    assert TEXT[found.start : found.end] == "The Skua 200 weighs 12 kg."
    assert set(found.features) == set(SENTENCE_FEATURES)
    assert found.features["overlap"] == found.features["overlap_passage"] == 1.0
    assert found.features["cosine"] == pytest.approx(1.0, abs=1e-6)
    assert found.features["missing"] == found.features["numbers_absent"] == found.features["slip"] == 0.0
    assert found.features["all_found"] == 1.0


def test_a_claim_over_two_sentences_takes_a_window_of_whole_sentences() -> None:
    found = _place("Ada Lovell founded the company in Leeds, and pumps are what it sells")
    assert TEXT[found.start : found.end] == "The company was founded by Ada Lovell in Leeds. It sells pumps."


@pytest.mark.parametrize(
    ("claim", "feature", "expected"),
    [
        ("The Skua 200 weighs 14 kg.", "numbers_absent", 0.5),
        ("The Skua 200 weighs 14 kg.", "slip", 1.0),
        ("The Skua 200 weighs 3 kg.", "numbers_absent", 0.5),  # "3" stands there, of days
        ("The Skua 200 weighs 3 kg.", "all_found", 0.0),
        ("It runs on batteries.", "slip", 1.0),
        ("The company was founded by Bob Lovell in Leeds.", "slip", 1.0),
        ("The Skua 200 weighs 14 kg in its light version.", "slip", 0.0),  # too little of it is there
        ("The company was founded by Ada Lovell in Leeds.", "slip", 0.0),
        ("The company was founded by Bob Lovell in Leeds.", "names_absent", 1 / 3),
        ("It does run on batteries.", "negation_differs", 1.0),
        ("The Skua 200 never weighs 12 kg.", "negation_differs", 1.0),
    ],
)
def test_what_does_not_agree_is_a_feature(claim: str, feature: str, expected: float) -> None:
    assert _place(claim).features[feature] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("claim", "evidence", "absent"),
    [
        ("5 kg and 7 days", "5 kg for 7 days", 0.0),
        ("5 kg", "5 g", 1.0),
        ("5 kg", "5 in all", 0.0),
        ("5 kg", "5 g, then 5 kg", 0.0),
        ("two pumps", "2 pumps", 0.0),
        ("1,000 and 2000", "1000", 0.5),
        ("no number", "7", 0.0),
    ],
)
def test_numbers_absent_looks_at_units_where_both_have_one(claim: str, evidence: str, absent: float) -> None:
    assert numbers_absent(read_words(claim), read_words(evidence)) == absent


def test_a_fragment_is_read_with_its_question() -> None:
    question = "How much does the Skua 200 weigh?"
    right, wrong = _place("12 kg", question=question), _place("3 days", question=question)
    assert set(right.features) == set(ANSWER_FEATURES)
    assert right.features["contained"] == wrong.features["contained"] == 1.0
    assert right.features["question_near"] == 1.0
    assert right.features["question_near"] > wrong.features["question_near"]
    assert TEXT[right.start : right.end] == "The Skua 200 weighs 12 kg."


@pytest.mark.parametrize(
    ("question", "answer", "differs"),
    [
        ("How many days?", "pumps", 1.0),
        ("How many days?", "three", 0.0),
        ("Who founded it?", "the company", 1.0),
        ("Who founded it?", "Ada Lovell", 0.0),
        ("What is sold?", "pumps", 0.0),
    ],
)
def test_an_answer_of_another_kind_than_asked_for_is_a_feature(question: str, answer: str, differs: float) -> None:
    assert _place(answer, question=question).features["kind_differs"] == differs


def test_fragments_need_a_question() -> None:
    assert is_fragment("1901", "When?")
    assert not is_fragment("1901", " ")
    assert not is_fragment("It was awarded to Wilhelm Röntgen of Germany in 1901.", "When?")


def test_the_encoder_runs_once_and_each_sentence_once() -> None:
    calls: list[list[str]] = []

    class Counting(HashEncoder):
        def encode(self, texts):  # type: ignore[no-untyped-def]
            calls.append(list(texts))
            return super().encode(texts)

    view(["one claim", "another claim"], [TEXT, "A second passage."], "Why?", Counting())
    assert len(calls) == 1
    assert len(calls[0]) == 5 + 1 + 2 + 1


def test_window_vectors_equal_the_unit_means_of_their_sentences() -> None:
    claims, passages = view(["Spare parts ship within 3 days, it does not run"], [TEXT], "", HashEncoder())
    found = place(claims[0], passages[0])
    assert found is not None
    mean = passages[0].vectors[found.first : found.last + 1].mean(axis=0)
    assert found.features["cosine"] == pytest.approx(float(mean @ claims[0].vector / np.linalg.norm(mean)), abs=1e-6)


def test_features_are_finite_for_odd_texts() -> None:
    for claim in ("the", "???", "日本語の文", "a" * 5000, "\ud800"):
        for text in ("...", "x", "1 2 3", "日本語。文。"):
            for question in ("", "?", "Who?"):
                assert all(np.isfinite(value) for value in _place(claim, text, question).features.values())


def test_a_passage_without_text_has_no_place() -> None:
    claims, passages = view(["claim"], [" \n "], "", HashEncoder())
    assert place(claims[0], passages[0]) is None
