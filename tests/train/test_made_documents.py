"""Made documents: right claims stand in them, wrong ones do not, and near misses are made of what they hold."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import pytest

from rag.datafiles import Label
from train.made_documents import MadeClaim, made_claims
from train.made_facts import Fact, read_facts

CLAIMS = made_claims(400, seed=11)


def test_the_same_seed_gives_the_same_claims() -> None:
    assert made_claims(20, seed=5) == made_claims(20, seed=5) != made_claims(20, seed=6)


def test_every_wording_can_be_filled() -> None:
    things, relations = read_facts()
    for relation in relations:
        assert relation.of in things and (relation.ask.count("{e}") + relation.ask.count("{E}")) == 1
        assert bool(relation.say) != bool(relation.yes and relation.no)
        fact = Fact(relation, "the thing", "yes" if relation.yes else "5 days", 2020 if relation.year else 0)
        for text in (*fact.wordings(), fact.question()):
            assert "{" not in text and "thing" in text.lower()
            assert ("2020" in text) == relation.year


@pytest.mark.parametrize("kind", ["near value", "near thing", "far value", "year", "unit", "negation", "contrary"])
def test_every_kind_of_error_is_made(kind: str) -> None:
    assert sum(claim.kind == kind for claim in CLAIMS) >= 5


def test_half_the_claims_are_right_and_half_of_the_errors_are_near() -> None:
    kinds = Counter(claim.kind for claim in CLAIMS)
    wrong = sum(kinds.values()) - kinds["right"]
    assert kinds["right"] == 800 and wrong > 780
    assert 0.4 < (kinds["near value"] + kinds["near thing"]) / wrong < 0.75


def numbers(text: str) -> set[str]:
    return set(re.findall(r"\d+", text))


def test_numbers_of_right_claims_stand_in_the_document() -> None:
    right = [claim for claim in CLAIMS if claim.kind == "right"]
    assert all(numbers(claim.claim) <= numbers(claim.passage) for claim in right)


def test_a_near_value_stands_in_the_document_too() -> None:
    near = [claim for claim in CLAIMS if claim.kind == "near value"]
    assert len(near) > 100 and all(numbers(claim.claim) <= numbers(claim.passage) for claim in near)


def pairs() -> list[tuple[MadeClaim, MadeClaim]]:
    """Each wrong claim with the right one that it was made from."""
    return [(one, two) for one, two in pairwise(CLAIMS) if one.kind == "right" != two.kind]


def test_only_what_is_marked_differs_from_the_right_claim() -> None:
    for right, wrong in pairs():
        start, end = wrong.wrong
        assert right.claim != wrong.claim and right.passage == wrong.passage and wrong.label is not Label.SUPPORTED
        assert wrong.claim[:start] == right.claim[:start] and right.claim.endswith(wrong.claim[end:])


def test_a_document_says_one_thing_of_one_thing() -> None:
    # Documents about one thing in several years once gave it several founding years.
    right = [claim for claim in CLAIMS if claim.kind == "right"]
    told: dict[tuple[str, str], set[str]] = {}
    for claim in right:
        if claim.question and claim.claim in claim.passage:
            told.setdefault((claim.passage, claim.question), set()).add(claim.claim)
    assert told and all(len(claims) == 1 for claims in told.values())
