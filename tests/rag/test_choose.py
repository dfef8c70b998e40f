"""Which answer stands: ratings decide between generator and reader, and refuse what is too uncertain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from rag.answer_support import FEATURES, AnswerRater
from rag.answerable import FEATURES as ANSWERABLE
from rag.answerable import Answerability
from rag.choose import Chooser, Written
from rag.generate import Piece
from rag.policy import Policy
from rag.prompt import NO_ANSWER, parse_answer
from rag.reader import Reader, Reading, Span
from rag.types import Claim, Passage, Verdict
from rag.verify import LinearCheck

PASSAGE = Passage(0, "d", "Title", "/d.txt", 0, 12, "Nine or ten.", "")
SUPPORTS = {"nine": 0.9, "ten": 0.6, "Yes.": 0.9}


@dataclass
class Points:
    """A reader that always points at the same words, and counts how often it was asked."""

    text: str
    no_answer: float = 0.1
    asked: int = 0

    def read(self, _question: str, _passages: Sequence[Passage], n_best: int = 5) -> Reading:
        self.asked += 1
        spans = (Span(0, 0, 4, self.text, 3.0, 0.8),) if self.text else ()
        return Reading(self.no_answer, spans[:n_best])


def check(parsed: Any) -> tuple[Claim, ...]:
    return (Claim(parsed.text, 0, len(parsed.text), SUPPORTS[parsed.text], Verdict.SUPPORTED),)


def flat(bias: dict[str, float], **weights: float) -> AnswerRater:
    """Ratings of these biases by kind, and weights for all of them."""
    checks = {
        kind: LinearCheck({name: weights.get(name, 0.0) for name in names}, bias.get(kind, 0.0), 0.5)
        for kind, names in FEATURES.items()
    }
    return AnswerRater(checks, "flat")


def written(text: str, *sure: float, unanswerable: float = 0.1) -> Written:
    pieces = [Piece(text if place == 0 else "", value, unanswerable) for place, value in enumerate(sure)]
    return Written(parse_answer(text, 1), pieces, 0.5)


def chooser(reader: Points, rater: AnswerRater | None, **policy: float) -> Chooser:
    return Chooser(Policy(**policy), cast(Reader, reader), rater)


@pytest.mark.parametrize(
    ("bias", "said"), [({"written": 1.0, "read": -1.0}, "ten"), ({"written": -1.0, "read": 1.0}, "nine")]
)
def test_the_higher_rated_of_the_two_stands(bias: dict[str, float], said: str) -> None:
    choice = chooser(Points("nine"), flat(bias), read_over=0.0).choose("q", (), written("ten", 0.9), check)
    assert choice.parsed.text == said and not choice.reason
    assert choice.support == pytest.approx(1 / (1 + 2.718281828**-1.0))


def test_the_span_must_be_better_by_the_margin() -> None:
    rater = flat({"written": 0.0, "read": 0.3})  # .50 and .57
    for margin, said in ((0.05, "nine"), (0.2, "ten"), (1.0, "ten")):
        found = chooser(Points("nine"), rater, read_over=margin).choose("q", (), written("ten", 0.9), check)
        assert found.parsed.text == said


def test_how_surely_it_was_written_decides_whether_it_stands() -> None:
    rater, reader = flat({}, least=1.0), Points("ten")
    sure = chooser(reader, rater, min_right=0.5).choose("q", (), written("ten", 0.9), check)
    unsure = chooser(reader, rater, min_right=0.5).choose("q", (), written("ten", 0.9, 0.2), check)
    assert not sure.reason and sure.support == pytest.approx(0.9)
    assert "too uncertain (probability 0.20, needed 0.5)" in unsure.reason


def test_yes_and_no_are_rated_and_never_replaced_or_refused_for_doubt() -> None:
    found = chooser(Points("nine"), flat({"yes_no": -3.0}), min_right=0.5, read_over=0.0)
    choice = found.choose("q", (), written("Yes.", 0.9), check)
    assert choice.parsed.text == "Yes." and not choice.reason and choice.support < 0.1


@pytest.mark.parametrize(("no_answer", "said"), [(0.1, "nine"), (0.5, "")])
def test_a_refusal_is_tried_once_more_where_the_reader_is_sure(no_answer: float, said: str) -> None:
    found = chooser(Points("nine", no_answer), flat({}), read_below=0.2)
    choice = found.choose("q", (), written(NO_ANSWER, 0.9), check)
    assert choice.parsed.text == said and bool(choice.reason) is not bool(said)


def test_the_same_words_are_not_checked_twice() -> None:
    asked = []

    def counted(parsed: Any) -> tuple[Claim, ...]:
        asked.append(parsed.text)
        return check(parsed)

    chooser(Points("the ten"), flat({}), read_over=0.0).choose("q", (), written("ten", 0.9), counted)
    assert asked == ["ten"]


def test_without_a_rater_support_is_that_of_the_weakest_claim() -> None:
    reader = Points("nine")
    choice = chooser(reader, None, read_over=0.15).choose("q", (), written("ten", 0.9), check)
    assert (choice.parsed.text, choice.support, reader.asked) == ("nine", 0.9, 1)


def test_the_marker_of_the_passage_says_nothing_of_the_answer() -> None:
    pieces = [Piece("ten", 0.9, 0.1), Piece(" [", 0.3), Piece("1]", 0.2)]
    assert Written(parse_answer("ten [1]", 1), pieces, 0.5).sure == (0.9,)
    assert replace(written(NO_ANSWER, 0.9)).sure == ()


def test_whether_the_passages_answer_is_told_with_any_choice() -> None:
    weights = {name: 1.0 if name in ("told", "unanswerable") else 0.0 for name in ANSWERABLE}
    alone, in_turn = LinearCheck(weights, 0.0, 0.5), LinearCheck(dict.fromkeys(ANSWERABLE, 0.0), 1.0, 0.5)
    known = Answerability({"question": alone, "turn": in_turn})
    for text in ("nine", NO_ANSWER):
        for no_answer, unanswerable, share in ((0.1, 0.5, 0.9), (0.5, 0.2, 0.2)):
            chosen = replace(chooser(Points("ten", no_answer), None), answerability=known)
            said = written(text, 0.9, unanswerable=unanswerable)
            assert chosen.choose("?", (PASSAGE,), said, check).answerable == pytest.approx(share, abs=1e-3)
            signals = chosen.signals("?", (PASSAGE,), said)
            assert signals is not None and alone.probability(signals) == pytest.approx(share, abs=1e-3)
    later = replace(written("nine", 0.9), turn=True)
    assert chosen.choose("?", (PASSAGE,), later, check).answerable == pytest.approx(1 / (1 + 2.718281828**-1.0))
    untold = replace(written("nine", 0.9), pieces=[Piece("nine", 0.9, None)])
    assert chosen.choose("?", (PASSAGE,), untold, check).answerable is None
    assert chosen.signals("?", (PASSAGE,), untold) is None


def test_drafts_are_everything_that_could_be_answered() -> None:
    found = list(chooser(Points("nine"), None).drafts("q", (), written("ten", 0.9), check))
    assert [(draft.text, draft.support, draft.written) for draft in found] == [
        ("ten", 0.6, "ten"),
        ("nine", 0.9, "ten"),
    ]
    refused = list(chooser(Points("nine"), None).drafts("q", (), written(NO_ANSWER, 0.9), check))
    assert [(draft.text, draft.written, draft.sure) for draft in refused] == [("nine", "", ())]
