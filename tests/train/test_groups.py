"""Groups beside the mined ones: a passage asked by its own sentence, and claims with what bears them out."""

from __future__ import annotations

import random

from rag.datafiles import ClaimRow, Label
from train.claim_groups import claim_groups
from train.groups import Group, cloze
from train.sources import seen_texts

TEXT = (
    "The ferry to the island leaves at nine in the morning. It carries cars, bicycles and people on two decks. "
    "In winter the crossing is made by the smaller boat of the harbour master."
)


def test_a_sentence_asks_for_the_rest_of_its_passage() -> None:
    group = Group("When does it leave?", f"Ferry\n{TEXT}", ("Ferry\nQuite another text.",))
    made = cloze(group, random.Random(1))
    assert made is not None and not made.told and made.negatives == group.negatives
    assert made.question in TEXT and made.question not in made.positive
    assert made.positive.startswith("Ferry\n") and len(made.positive) < len(group.positive)


def test_short_passages_and_groups_without_wrong_ones_have_no_such_question() -> None:
    assert cloze(Group("q", "t\nOne sentence only.", ("x",)), random.Random(0)) is None
    assert cloze(Group("q", f"t\n{TEXT}", ()), random.Random(0)) is None


def claim(number: int, said: str, passage: str, label: Label) -> ClaimRow:
    return ClaimRow(f"c{number}", "citint", passage, said, label)


def test_supported_claims_have_their_passage_and_wrong_ones_that_share_words() -> None:
    rows = [
        claim(1, "The winter ferry carries cars and people over.", TEXT, Label.SUPPORTED),
        claim(2, "The ferry of the river is painted green.", "The ferry of the river carries sheep.", Label.NEI),
        claim(3, "The harbour has a ferry with three decks.", "A harbour ferry has two decks.", Label.REFUTED),
        claim(4, "The island ferry was built by hand.", "The island ferry was built of oak.", Label.SUPPORTED),
    ]
    groups = list(claim_groups(rows, seen_texts([], [])))
    assert [group.question for group in groups] == [rows[0].claim, rows[3].claim]
    for group in groups:
        assert not group.told and group.negatives and group.positive not in group.negatives
    held = list(claim_groups(rows, seen_texts([rows[0].claim], [])))
    assert [group.question for group in held] == [rows[3].claim]
