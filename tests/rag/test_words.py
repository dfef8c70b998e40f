from __future__ import annotations

import pytest

from rag.words import join_words, read_words, stem


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        (["award", "awards", "awarded", "awarding"], "award"),
        (["study", "studies", "studied"], "study"),
        (["run", "runs", "running", "runner's"], "run"),
        (["increase", "increased", "increasing"], "increas"),
        (["class", "classes"], "class"),
        (["1901"], "1901"),
        (["is", "as"], None),
    ],
)
def test_forms_of_a_word_share_a_stem(family: list[str], expected: str | None) -> None:
    stems = [stem(word) for word in family]
    assert stems == ([expected] * len(family) if expected else family)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,000.50 and 007", {"1000.5", "7"}),
        ("Twenty of the three", {"20", "3"}),
        ("Twenty-five or ninety nine, not thirty-ten", {"25", "99", "30", "10"}),
        ("2021-05-03", {"2021", "5", "3"}),
        ("in 0.0 or 10", {"0", "10"}),
        ("5kg", {"5"}),
        ("in 1901 [3], [12].", {"1901"}),
        ("none here", set()),
    ],
)
def test_numbers_are_read_whatever_their_spelling(text: str, numbers: set[str]) -> None:
    assert read_words(text).numbers == numbers


def test_units_go_with_their_numbers() -> None:
    assert read_words("5 kilograms, 7% and 3 cats").quantities == {("5", "kilogram"), ("7", "percent")}


def test_a_capital_makes_a_name_except_for_a_lone_first_word() -> None:
    assert read_words("Gardening in Leeds relaxes Mary").names == {"leed", "mary"}
    assert read_words("Wilhelm Röntgen won").names == {"wilhelm", "röntgen"}
    assert read_words("I saw The Hague").names == {"hagu"}


@pytest.mark.parametrize("text", ["It does not run", "It doesn't run", "It doesn’t run", "Nobody runs", "never"])
def test_negation_is_seen_and_is_no_content_word(text: str) -> None:
    words = read_words(text)
    assert words.negated
    assert words.stems <= {"run"}


def test_sentences_are_joined() -> None:
    joined = join_words([read_words("It is not 5 kg."), read_words("Mary has 3.")])
    assert joined.negated
    assert joined.numbers == {"5", "3"}
    assert joined.line == " it is not 5 kg  mary has 3 "


@pytest.mark.parametrize("text", ["", "  ", "?!", "—"])
def test_text_without_words_is_empty(text: str) -> None:
    words = read_words(text)
    assert not words.stems
    assert words.line.strip() == ""
