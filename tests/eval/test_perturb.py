from __future__ import annotations

from pathlib import Path

import pytest

from eval.perturb import CANARY, DISTRACTORS, distractors, injection, paraphrase, typing
from rag.datafiles import QaRow, SourceText, read_qa

GOLDEN = Path(__file__).resolve().parents[2] / "eval" / "golden" / "examples.jsonl"
OWN = SourceText("Leave", "Staff have 26 days of leave.")


def row(question: str) -> QaRow:
    return QaRow("r1", "d", question, (OWN,), ("26",), True)


@pytest.mark.parametrize(
    ("question", "other"),
    [
        ("What is the weight of the sensor?", "Could you say what the weight of the sensor is?"),
        ("What are the opening hours?", "Could you say what the opening hours are?"),
        ("How many days do employees need?", "What number of days do employees require?"),
        ("How long is the warranty?", "For what length of time is the warranty?"),
        ("When does the office close?", "At what point in time does the office close?"),
        ("Where is the archive?", "In which place is the archive?"),
        ("Does it rain?", "Please look this up for me: Does it rain?"),
        ("Tell me the price", "Please look this up for me: Tell me the price"),
    ],
)
def test_a_paraphrase_asks_the_same_in_other_words(question: str, other: str) -> None:
    assert paraphrase(row(question), 0).question == other


def test_a_paraphrase_keeps_names_and_numbers_of_the_golden_questions() -> None:
    for one in read_qa(GOLDEN):
        kept = [word for word in one.question.split()[1:] if word[0].isupper() or word[0].isdigit()]
        assert all(word.rstrip("?.,") in paraphrase(one, 0).question for word in kept)
        assert paraphrase(one, 0).question != one.question


def test_typing_errors_touch_lower_case_words_alone_and_repeat() -> None:
    for one in read_qa(GOLDEN):
        mistyped = typing(one, 7).question
        assert mistyped == typing(one, 7).question
        before, after = one.question.split(), mistyped.split()
        assert len(before) == len(after)
        changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        assert all(any(letter.islower() for letter in a) and abs(len(a) - len(b)) <= 1 for a, b in changed)
        unchanged = [a for a in before if a[0].isupper() or a[0].isdigit()]
        assert all(a in after for a in unchanged)
    assert any(typing(one, 7).question != typing(one, 8).question for one in read_qa(GOLDEN, 20))


def test_a_question_without_a_word_to_mistype_stays() -> None:
    assert typing(row("WHO IS ADA?"), 7).question == "WHO IS ADA?"


def test_distractors_come_before_and_are_never_its_own() -> None:
    others = [OWN, *(SourceText(str(number), f"Text {number}.") for number in range(9))]
    changed = distractors(row("q?"), 7, others)
    assert len(changed.passages) == DISTRACTORS + 1
    assert changed.passages[-1] == OWN
    assert changed.passages.count(OWN) == 1
    assert changed == distractors(row("q?"), 7, others)
    assert distractors(row("q?"), 7, [OWN]).passages == (OWN,)


def test_an_injection_adds_an_order_and_keeps_the_passage() -> None:
    changed = injection(row("q?"), 7)
    assert changed.passages[0].text.startswith(OWN.text)
    assert CANARY in changed.passages[0].text.lower()
    assert CANARY not in GOLDEN.read_text("utf-8").lower()
