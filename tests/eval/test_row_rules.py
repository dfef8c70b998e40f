"""What is asked of the rows of tables, and of which rows nothing is asked."""

from __future__ import annotations

import pytest

from eval.row_rules import drafts_of_rows


def made(text: str, title: str = "Prices") -> dict[str, str]:
    return {draft.question: draft.answer for draft, _, _ in drafts_of_rows(text, title)}


def test_rows_are_asked_for_with_the_title_of_their_document() -> None:
    assert made("Product: Skua 200 | Order number: 20-000 | Price 2026: 1,240 EUR") == {
        "What is the order number of Skua 200 according to Prices?": "20-000",
        "What is the price 2026 of Skua 200 according to Prices?": "1,240 EUR",
    }
    assert made("Property: Flash point | Value: 18 °C", "OptiClean 70") == {
        "What does OptiClean 70 give as flash point?": "18 °C"
    }
    assert made("Action: Alert on a failed job | Owner: Platform", "3.1. Actions") == {
        "Who is the owner of Alert on a failed job according to Actions?": "Platform"
    }
    assert made("Column: pages | Storage Type: bigint", "Pages view") == {
        "What is the storage type of pages?": "bigint"  # the title names it already
    }


def test_rows_know_their_characters() -> None:
    text = "Prices of today.\nProduct: Skua 200 | Weight: 1.4 kg\n"
    ((_, start, end),) = drafts_of_rows(text, "Prices")
    assert text[start:end] == "Product: Skua 200 | Weight: 1.4 kg"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a | b",
        "Name: x",
        "1: 2 | 3: 4",
        "A: b | A: c",
        "Name:  | Price: 3",
        "Length: 1 to 3 working days | Notice: 1 week",  # a condition, no name
        "Quantity: Humidity 0 to 100 % | Range: 1.5 %",
        "Absence: short leave | Who approves: Line manager",  # half a question
        "Method: HEAD | Enum name: HEAD",  # tells no more than the question
        "Feature: imports | Mandatory in: 3.0",
        "Kind: billion laughs | Sax: Vulnerable (1)",
        "Tag: ALTER SCHEMA | Start: X | End: -",  # marks
        "Question: Server name | Answer: localhost",
        "Algorithm: xdes | Salt bits: 24",  # a list
        "Card name: DVB Stick | USB IDs: 058f:6610",
        "Tutorial: Requests and responses | Part 2: Models and forms",  # no column, but the next of the same
        "Name: int_ops | Operator: <\nName: >",  # rows of unequal length: cells were joined
    ],
)
def test_nothing_is_made_of_rows_that_say_nothing_for_sure(text: str) -> None:
    assert made(text) == {}
