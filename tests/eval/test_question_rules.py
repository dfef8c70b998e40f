"""What the rules make of sentences and rows, and what they leave alone."""

from __future__ import annotations

import pytest

from eval.question_rules import drafts_of_row, drafts_of_sentence, names_in

NAMES = frozenset({"Skua", "OptiClean", "Fulmar", "Marten"})


def made(sentence: str, heading: str = "") -> dict[str, str]:
    return {draft.question: draft.answer for draft in drafts_of_sentence(sentence, heading, NAMES)}


@pytest.mark.parametrize(
    ("sentence", "question", "answer"),
    [
        ("Door logs are kept for 90 days.", "For how many days are door logs kept?", "90 days"),
        (
            "Urgent tests are reported within 90 minutes of arrival.",
            "Within how many minutes of arrival are urgent tests reported?",
            "90 minutes",
        ),
        ("The flash point of OptiClean 70 is 18 °C.", "What is the flash point of OptiClean 70?", "18 °C"),
        ("A new key costs 45 EUR.", "How much does a new key cost?", "45 EUR"),
        ("The crossing takes 55 minutes.", "How long does the crossing take?", "55 minutes"),
        ("The offer is valid until 30 September 2026.", "Until when is the offer valid?", "30 September 2026"),
        ("The Marten was built in 2014, in Skerrow.", "When was the Marten built?", "2014"),
        ("The Fulmar gateway holds 24 stations.", "How many stations does the Fulmar gateway hold?", "24 stations"),
        (
            "The Fulmar gateway receives the radio messages of Skua stations.",
            "What does the Fulmar gateway receive?",
            "the radio messages of Skua stations",
        ),
        (
            "Delivery time is longer because the batteries are shipped by sea.",
            "Why is delivery time longer?",
            "the batteries are shipped by sea",
        ),
        (
            "Two-factor sign-in is required for every account.",
            "What is required for every account?",
            "two-factor sign-in",
        ),
        ("Office staff may work from home on Fridays.", "Who may work from home on Fridays?", "office staff"),
        ("Gifts are not allowed at any value.", "Are gifts allowed at any value?", "No"),
        ("1. Private sticks must not be used at work.", "May private sticks be used at work?", "No"),
    ],
)
def test_a_sentence_gives_its_question(sentence: str, question: str, answer: str) -> None:
    assert made(sentence)[question] == answer


@pytest.mark.parametrize(
    "sentence",
    [
        "It is kept for 90 days.",  # names nothing
        "The following is kept for 90 days.",
        "Private sticks are never left there for the night.",  # points to another sentence
        "If it rains, the party is held a week later.",
        "Are door logs kept for 90 days?",
        "Door logs",
        "Door logs are kept for 90 days",  # no end
        "Sign-in logs, which are large, are kept for 13 months.",
        "",
        "x " * 500 + ".",
        "| a | b |",
        "Ключи хранятся 90 дней.",
    ],
)
def test_nothing_is_made_of_what_cannot_be_told(sentence: str) -> None:
    assert made(sentence) == {}


def test_what_must_not_be_is_asked_with_may() -> None:
    asked = made("Private sticks must not be connected to company computers.")
    assert asked["May private sticks be connected to company computers?"] == "No"


def test_the_default_of_a_setting_is_named_by_its_heading() -> None:
    asked = made("The default is 10 milliseconds.", "Settings > wal_writer_delay (integer)")
    assert asked == {"What is the default of wal_writer_delay?": "10 milliseconds"}
    assert made("The default is 10 milliseconds.", "Settings") == {}


def test_names_keep_their_capital_and_other_words_lose_it() -> None:
    names = names_in(["We sell the Skua and the Marten.", "Keys are lost. All keys count.", "In May Keys rose."])
    assert names >= {"Skua", "Marten"} and "Keys" not in names
    asked = [draft.question for draft in drafts_of_sentence("Skua stations are sold until 2018.", "", names)]
    assert asked == ["Until when are Skua stations sold?"]


def test_rows_of_tables() -> None:
    row = "Product: Skua 200 | Order number: 20-000 | Price 2026: 1,240 EUR"
    assert {draft.question: draft.answer for draft in drafts_of_row(row, "Prices")} == {
        "What is the order number of Skua 200?": "20-000",
        "What is the price 2026 of Skua 200?": "1,240 EUR",
    }
    (value,) = drafts_of_row("Property: Flash point | Value: 18 °C", "OptiClean 70")
    assert (value.question, value.answer) == ("What does OptiClean 70 give as flash point?", "18 °C")


@pytest.mark.parametrize("row", ["", "a | b", "Name: x", "1: 2 | 3: 4", "A: b | A: c", "Name:  | Price: 3"])
def test_rows_that_say_nothing_make_nothing(row: str) -> None:
    assert list(drafts_of_row(row, "t")) == []
