"""Exact checks line by line: what belongs to what, and a "not" in the line that a claim is about."""

from __future__ import annotations

import pytest

from rag.alignment import FEATURES, Lines, align
from rag.words import read_words

PRICES = (
    "The Basic tariff costs 15 EUR a month. The Premium tariff costs 40 EUR a month. Parking is not included in either."
)
TABLE = "Fares\nTicket | 2025 | 2026\nAdult | 9 EUR | 10 EUR\nChild | 4 EUR | 5 EUR"


def told(claim: str, text: str, question: str = "", *titles: str) -> dict[str, float]:
    return dict(align(read_words(claim), read_words(question).stems, Lines.of([text], titles)))


def test_a_claim_of_one_line_lies_in_it() -> None:
    found = told("The Premium tariff costs 40 EUR a month.", PRICES)
    assert found == {"line_overlap": 1.0, "apart": 0.0, "negation_line": 0.0, "negation_clause": 0.0}


def test_a_value_of_another_line_is_apart() -> None:
    question = "What does the Premium tariff cost?"
    right, wrong = (told(f"The Premium tariff costs {price} EUR a month.", PRICES, question) for price in (40, 15))
    assert right["apart"] == 0.0 and right["line_overlap"] == 1.0
    # Every word of the wrong one stands in the text, so that the plain overlap is 1 for both.
    assert read_words("The Premium tariff costs 15 EUR a month.").stems <= read_words(PRICES).stems
    assert wrong["apart"] > 0.1 and wrong["line_overlap"] < 0.9


def test_words_of_the_question_are_not_called_apart() -> None:
    text = "The Skua is light. The heater draws nine watts."
    assert told("The heater of the Skua draws nine watts.", text)["apart"] > 0
    assert (
        told("The heater of the Skua draws nine watts.", text, "What does the heater of the Skua draw?")["apart"] == 0
    )


@pytest.mark.parametrize(
    ("claim", "line", "clause"),
    [
        ("Parking is included.", 1.0, 1.0),
        ("Parking is not included.", 0.0, 0.0),
        ("The Basic tariff does not cost 15 EUR a month.", 1.0, 1.0),
        ("The Basic tariff costs 15 EUR a month.", 0.0, 0.0),
    ],
)
def test_a_not_counts_in_the_line_that_the_claim_is_about(claim: str, line: float, clause: float) -> None:
    found = told(claim, PRICES)
    assert (found["negation_line"], found["negation_clause"]) == (line, clause)


def test_a_not_in_another_clause_of_the_line_is_none_of_the_clause() -> None:
    text = "Suppliers wear an orange badge and may move alone, but not in the server room."
    found = told("Suppliers wear an orange badge.", text)
    assert (found["negation_line"], found["negation_clause"]) == (1.0, 0.0)


def test_headings_and_heads_of_tables_go_with_every_line() -> None:
    question = "What does an adult pay?"
    found = told("In 2026 an adult pays a fare of 10 EUR.", TABLE, question)
    assert found["apart"] == 0.0
    assert told("The tariff of the Heron costs 40 EUR.", PRICES, "", "Heron price list")[
        "line_overlap"
    ] == pytest.approx(told("The tariff costs 40 EUR.", PRICES)["line_overlap"])


@pytest.mark.parametrize("text", ["", " \n ", "|", "...", "| | |\n|", ",  ;  ", "or\nand "])
@pytest.mark.parametrize("claim", ["", "not", "the", "A claim of 5 words."])
def test_the_features_are_numbers_between_0_and_1(text: str, claim: str) -> None:
    found = told(claim, text)
    assert set(found) == set(FEATURES) and all(0 <= value <= 1 for value in found.values())
