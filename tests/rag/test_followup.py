"""Follow-up questions: those that lean on the conversation take its subject along, others stay alone."""

from __future__ import annotations

import pytest

from rag.followup import leans, standalone
from rag.types import Question, Turn

HEATER = (Turn("user", "How does the garden heater switch on?"), Turn("assistant", "By itself, below three degrees."))


def asked(text: str, history: tuple[Turn, ...] = HEATER) -> str:
    return standalone(Question(text, history=history))


@pytest.mark.parametrize("text", ["And its power?", "How long does it last?", "Why?", "What about battery life?"])
def test_one_that_leans_takes_the_subject_along(text: str) -> None:
    assert leans(text)
    assert asked(text) == f"How does the garden heater switch on? {text}"
    assert asked(text, ()) == text


def test_one_that_stands_by_itself_is_left_alone() -> None:
    text = "How many days of annual leave do new employees get?"
    assert not leans(text) and asked(text) == text


def test_a_chain_of_follow_ups_keeps_its_subject() -> None:
    history = (*HEATER, Turn("user", "And its power?"), Turn("assistant", "Nine watts."))
    assert asked("Is that much?", history) == "How does the garden heater switch on? And its power? Is that much?"


def test_a_conversation_without_a_subject_gives_what_there_is() -> None:
    assert asked("And then?", (Turn("user", "Why?"),)) == "Why? And then?"
    assert asked("And then?", (Turn("assistant", "Hello."),)) == "And then?"
