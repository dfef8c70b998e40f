"""Changed passages: what was taken out is gone, what was renamed is renamed everywhere, and the labels follow."""

from __future__ import annotations

import random

import pytest

from train.sources import Ask, Unit, holds
from train.twists import NAME, as_searched, negated, opposed, pronouns_swapped, renamed, with_orders, without_answers

TEXT = (
    "The lighthouse was lit in 1861 by Agnes Moor. She kept it for thirty years and wrote her log every day. "
    "The lamp burnt whale oil until the town bought gas. In winter the keeper Agnes Moor slept below the lamp."
)


def ask(id: str, question: str, *answers: str) -> Ask:
    return Ask(id, question, answers[0], answers)


ASKS = (
    ask("year", "When was the lighthouse lit?", "1861"),
    ask("who", "Who lit the lighthouse?", "Agnes Moor"),
    ask("oil", "What did the lamp burn?", "whale oil"),
    ask("log", "How often did she write?", "every day"),
)
UNIT = Unit("test", "p", "Lighthouse", TEXT, ASKS)
OTHER = Unit("test", "q", "Harbour", "The harbour was dug by Bertram Quill and Ivo Stane.", ())


def test_a_cut_takes_the_answers_with_it_and_nothing_else() -> None:
    for seed in range(20):
        cut = without_answers(UNIT, random.Random(seed))
        assert cut is not None
        assert len(cut.text) < len(TEXT) and all(part in TEXT for part in cut.text.split(". "))
        lost = [one for one in cut.asks if not one.answer]
        assert lost
        for one in cut.asks:
            golds = next(original.golds for original in ASKS if original.id == one.id)
            assert any(holds(cut.text, gold) for gold in golds) is bool(one.answer)
            assert one.missing == ("untold" if one.answer else "cut")
        # Agnes Moor stands in two sentences: with one of them gone, nobody can say whether she is still told.
        assert not any(one.id == "who" and not one.answer for one in cut.asks)


def test_a_passage_of_one_sentence_is_not_cut() -> None:
    single = Unit("test", "p", "", "The lamp burnt whale oil.", (ASKS[2],))
    assert without_answers(single, random.Random(0)) is None


def test_a_name_changes_everywhere() -> None:
    changed = renamed(UNIT, [OTHER], random.Random(0))
    assert changed is not None
    assert "Agnes Moor" not in changed.text + "".join(one.text + one.answer for one in changed.asks)
    (who,) = [one for one in changed.asks if one.id == "who"]
    assert who.answer in {"Bertram Quill", "Ivo Stane"} and who.golds == (who.answer,)
    assert changed.text.count(who.answer) == TEXT.count("Agnes Moor") == 2


def test_a_name_that_is_also_said_in_part_stays() -> None:
    text = TEXT + " Moor died in 1899."
    assert renamed(Unit("test", "p", "", text, ASKS[1:2]), [OTHER], random.Random(0)) is None


def test_pronouns_change_sides() -> None:
    text = "He gave her his lamp. Mr. Moor thanked her. She kept it herself, for him."
    changed = pronouns_swapped(Unit("test", "p", "", text, (ask("a", "Who thanked him?", "he"),)))
    assert changed is not None
    assert changed.text == "She gave his her lamp. Ms. Moor thanked him. He kept it himself, for her."
    assert (changed.asks[0].text, changed.asks[0].answer) == ("Who thanked her?", "she")
    assert pronouns_swapped(OTHER) is None


def test_orders_are_put_between_sentences_and_nothing_is_lost() -> None:
    for seed in range(20):
        spoken = with_orders(TEXT, random.Random(seed))
        assert len(spoken) > len(TEXT) + 20
        assert all(f"{part}." in spoken for part in TEXT.rstrip(".").split(". "))


def test_the_opposite_is_asked_only_where_the_passage_is_silent_on_it() -> None:
    assert opposed("Who was the first keeper?", TEXT) == "Who was the last keeper?"
    assert opposed("Who was the first keeper?", TEXT + " The last keeper left in 1960.") is None
    assert opposed("Who lit the lamp?", TEXT) is None


def test_names_are_not_found_at_the_start_of_a_sentence() -> None:
    assert NAME.findall("The lamp. Agnes said that Bertram Quill came.") == ["Bertram Quill"]


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("Who was elected in 1990?", "Who wasn't elected in 1990?"),
        ("What did Anna sell?", "What didn't Anna sell?"),
        ("Which rivers can be crossed?", "Which rivers can't be crossed?"),
        ("Who was not elected?", None),
        ("Name the river that is long.", None),
    ],
)
def test_a_question_is_asked_for_what_is_not_so(question: str, wanted: str | None) -> None:
    assert negated(question) == wanted


def test_a_question_as_typed_into_a_search_box() -> None:
    assert as_searched("Who won the FA Cup in 1903?") == "who won the fa cup in 1903"
