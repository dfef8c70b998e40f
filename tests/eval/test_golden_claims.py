"""The golden claims are well formed: planted errors differ from their truth by one edit, answers have two labels."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rag.datafiles import Label, read_claims

GOLDEN = Path(__file__).resolve().parents[2] / "eval" / "golden"
LEAST = {"number": 100, "negation": 50, "unit": 35, "name": 35, "date": 30, "unedited": 300}
LABELLED = 200

Row = dict[str, Any]


def load(name: str) -> list[Row]:
    assert read_claims(GOLDEN / name)  # the form, as the commands read it
    return [json.loads(line) for line in (GOLDEN / name).read_text(encoding="utf-8").splitlines()]


def words(text: str) -> str:
    return " ".join(re.findall(r"\w+|[%°±]", text.lower()))


@pytest.fixture(scope="module")
def planted() -> list[Row]:
    return load("planted.jsonl")


def test_planted_errors_are_enough_of_every_kind(planted: list[Row]) -> None:
    counts = Counter(row["kind"] for row in planted)
    assert set(counts) == set(LEAST)
    assert {kind: counts[kind] for kind, least in LEAST.items() if counts[kind] < least} == {}
    assert counts["unedited"] == sum(counts.values()) / 2


def test_each_edit_changes_one_spot_of_its_truth_and_nothing_else(planted: list[Row]) -> None:
    rows = {row["id"]: row for row in planted}
    for row in planted:
        if row["kind"] == "unedited":
            assert row["label"] == Label.SUPPORTED
            continue
        truth = rows[row["id"].removesuffix("-wrong") + "-right"]
        assert row["label"] == Label.NOT_SUPPORTED
        assert row["passage"] == truth["passage"] and row["question"] == truth["question"]
        before, after = truth["claim"].split(), row["claim"].split()
        opcodes = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
        edits = [code for code in opcodes if code[0] != "equal"]
        assert edits, row["id"]
        assert max(code[2] for code in edits) - min(code[1] for code in edits) <= 6, row["id"]


def test_no_edited_sentence_stands_in_its_passage(planted: list[Row]) -> None:
    found = [row["id"] for row in planted if row["kind"] != "unedited" and words(row["claim"]) in words(row["passage"])]
    assert found == []


def test_numbers_of_true_sentences_stand_in_their_passages(planted: list[Row]) -> None:
    missing = [
        (row["id"], number)
        for row in planted
        if row["kind"] == "unedited"
        for number in re.findall(r"\d[\d.,:]*\d|\d", row["claim"])
        if number not in row["passage"] and number not in row["question"]
    ]
    assert missing == []


def test_labelled_answers_have_both_labels_and_none_is_right_where_there_is_no_answer() -> None:
    rows = load("labelled_answers.jsonl")
    questions = {row["id"]: row for name in ("examples.jsonl", "documents.jsonl") for row in golden(name)}
    assert len({row["id"] for row in rows}) == len(rows) >= LABELLED
    assert {row["label"] for row in rows} == {"supported", "not_supported"}
    for row in rows:
        assert row["dataset"] == "golden-answers" and isinstance(row["right"], bool)
        asked = questions[row["id"]]
        assert row["question"].endswith(asked["question"]) and row["answerable"] == asked["answerable"]
        assert not (row["right"] and not row["answerable"]), row["id"]
        assert not (row["right"] and row["label"] == "not_supported"), row["id"]


def golden(name: str) -> list[Row]:
    return [json.loads(line) for line in (GOLDEN / name).read_text(encoding="utf-8").splitlines()]
