"""Prompts hold what fits, and what was written is read without inventing anything."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rag.prompt import NO_ANSWER, SYSTEM, ParsedAnswer, build_prompt, parse_answer
from rag.types import Passage, Question, Turn


def passage(text: str, title: str = "") -> Passage:
    return Passage(1, "d", title, "/d.txt", 100, 100 + len(text), text)


def count_words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def test_passages_are_numbered_in_order_under_their_titles() -> None:
    prompt = build_prompt(
        Question("How hot?"), [passage("It is hot.", "Heat"), passage("It is cold.")], 50, count_words
    )
    system, user = prompt.messages
    assert (system.role, system.text, user.role) == ("system", SYSTEM, "user")
    assert user.text == "[1] Heat\nIt is hot.\n\n[2] It is cold.\n\nQuestion: How hot?"


def test_a_passage_that_does_not_fit_is_left_out_and_numbers_run_on() -> None:
    passages = [passage("one two three"), passage("far " * 30), passage("four five")]
    prompt = build_prompt(Question("?"), passages, 10, count_words)
    assert [p.text for p in prompt.passages] == ["one two three", "four five"]
    assert "[2] four five" in prompt.messages[1].text
    assert "far" not in prompt.messages[1].text


def test_a_first_passage_above_the_budget_is_cut_and_its_offsets_follow() -> None:
    prompt = build_prompt(Question("?"), [passage("word " * 100)], 20, count_words)
    (cut,) = prompt.passages
    assert 0 < len(cut.text) < 500
    assert cut.end - cut.start == len(cut.text)
    assert cut.start == 100


def test_no_passages_leave_only_the_question() -> None:
    prompt = build_prompt(Question("What now?"), [], 20, count_words)
    assert prompt.messages[1].text == "Question: What now?"
    assert prompt.passages == ()


def test_the_last_turns_of_the_conversation_come_before_the_question() -> None:
    history = tuple(Turn("user" if i % 2 == 0 else "assistant", f"turn {i} " + "x" * 1000) for i in range(6))
    text = build_prompt(Question("And then?", history=history), [], 20, count_words).messages[1].text
    assert "turn 1 " not in text and "user: turn 2 " in text and "assistant: turn 5 " in text
    assert text.endswith("Question: And then?")
    assert len(text) < 2500


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("26 days [1]", ParsedAnswer("26 days", (1,), False)),
        ("26 days [2][1] in 2026 [2].", ParsedAnswer("26 days in 2026.", (2, 1), False)),
        ("Answer: 26 days [7]", ParsedAnswer("26 days", (), False)),  # no such passage: no citation
        ("26 days\nin 2026\n\nQuestion: another?", ParsedAnswer("26 days in 2026", (), False)),
        (NO_ANSWER, ParsedAnswer("", (), True)),
        ("Not in the documents", ParsedAnswer("", (), True)),
        ("", ParsedAnswer("", (), True)),
        ("  [1] ", ParsedAnswer("", (), True)),
        ("Use a[0] and f[x] [1]", ParsedAnswer("Use a and f[x]", (1,), False)),
    ],
)
def test_reading_an_answer(written: str, expected: ParsedAnswer) -> None:
    assert parse_answer(written, passage_count=3) == expected
