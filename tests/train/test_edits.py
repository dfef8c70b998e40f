from __future__ import annotations

import random

import pytest

from rag.datafiles import Label, QaRow, SourceText
from rag.words import read_words
from train.edits import make_edits, negated, other_name, other_number

TEXTS = [
    "The first Nobel Prize was awarded to Wilhelm Röntgen in 1901, in Stockholm. It was not divided among several.",
    "Marie Curie was born in Warsaw in 1867, and she married Pierre Curie. She has won the prize in two sciences.",
    "Leave requests are sent to the manager two weeks ahead. Days left over cannot be carried into the new year.",
    "Too short.",
]


def _rows() -> list[QaRow]:
    return [
        QaRow(f"q{number}", "toy", "?", (SourceText("T", text),), ("x",), True)
        for number, text in enumerate([*TEXTS, *TEXTS])
    ]


@pytest.mark.parametrize("seed", range(8))
def test_copies_stand_in_the_passage_and_edits_do_not(seed: int) -> None:
    claims = make_edits(_rows(), seed)
    assert [claim.label for claim in claims] == [Label.SUPPORTED, Label.NOT_SUPPORTED] * 3  # each passage once
    for claim in claims:
        assert (claim.claim in claim.passage) == (claim.label is Label.SUPPORTED)
    assert claims == make_edits(_rows(), seed)


@pytest.mark.parametrize("seed", range(20))
def test_another_number_has_as_many_digits_and_is_another(seed: int) -> None:
    for sentence in ("It was in 1901 then", "9 days", "10 of 10", "0", "1", "99"):
        changed = other_number(sentence, (), random.Random(seed))
        assert changed != sentence
        assert len(changed) == len(sentence)
    assert other_number("none", (), random.Random(seed)) == ""


@pytest.mark.parametrize("seed", range(5))
def test_another_name_shares_no_stem_with_the_sentence(seed: int) -> None:
    changed = other_name(TEXTS[0], [TEXTS[0], TEXTS[1]], random.Random(seed))
    gained = read_words(changed).stems - read_words(TEXTS[0]).stems
    assert gained
    assert gained <= read_words(TEXTS[1]).stems
    assert other_name("no names in here", [TEXTS[1]], random.Random(seed)) == ""


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("It was divided.", "It was not divided."),
        ("It was not divided.", "It was divided."),
        ("It isn't divided.", "It is divided."),
        ("Nobody was there.", ""),
        ("Rain fell.", ""),
    ],
)
def test_negation_is_put_in_or_taken_out(sentence: str, expected: str) -> None:
    assert negated(sentence, (), random.Random(0)) == expected
