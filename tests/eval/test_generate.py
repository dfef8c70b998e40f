"""Question sets: what is kept of the drafts, the rows, the files and the review; once with real models."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli.generate import review
from eval.generate import Maker, Plan, Tally, candidates_of
from eval.question_rules import Draft
from eval.question_sets import read_set, replace_set, reviewed, to_review, write_rows
from eval.round_trip import (
    ANSWERED,
    KEPT,
    NOT_FOUND,
    RIVALLED,
    VAGUE,
    Candidate,
    RoundTrip,
    is_vague,
    same_answer,
    tells,
)
from ingest.build import build_ingester
from rag.build import build_pipeline, build_search
from rag.datafiles import read_qa
from rag.settings import Settings
from rag.types import InvalidInput, Passage
from tests.fakes import Shelf

ROOT = Path(__file__).resolve().parents[2]
TEXTS = {
    "logs.md": "Door logs are kept for 90 days. Sign-in logs are kept for 13 months.",
    "keys.md": "A new key of the Skua shelter costs 45 EUR. Lost keys are reported to the caretaker.",
    "ferry.md": "The ferry crossing to the island takes 55 minutes. Dogs travel free.",
}


@pytest.fixture
def trip(tmp_path: Path) -> RoundTrip:
    shelf = Shelf.open(tmp_path)
    shelf.put(TEXTS)
    return RoundTrip(shelf.pipeline(), shelf.store.collections.get("default"), 2)


def made(trip: RoundTrip, plan: Plan) -> tuple[list[dict[str, Any]], Tally]:
    tally = Tally()
    return list(Maker(trip, plan).rows(tally, lambda _done, _whole: None)), tally


def test_rows_are_those_that_come_back_and_their_evidence_round_trips(trip: RoundTrip, tmp_path: Path) -> None:
    rows, tally = made(trip, Plan(count=10, unanswerable=0.0))
    asked = {row["question"]: row["answers"] for row in rows}
    assert asked["For how many days are door logs kept?"] == ["90 days"]
    assert tally.outcomes[KEPT] == len(rows) and tally.drafts >= len(rows)
    assert tally.as_json()["kept_share"] == len(rows) / tally.drafts
    store = trip.pipeline.retriever.store
    for row in rows:
        spot = row["evidence"]
        assert store.documents.get(spot["document_id"]).text[spot["start"] : spot["end"]] == spot["quote"]
        assert row["synthetic"] is True and row["review"] == "" and row["dataset"] == "synthetic-default"
    file = tmp_path / "sets" / "made.jsonl"
    assert write_rows(file, iter(rows)) == len(read_qa(file)) == len(rows)


def test_the_same_seed_gives_the_same_rows(trip: RoundTrip) -> None:
    assert made(trip, Plan(3, 0.0, 7))[0] == made(trip, Plan(3, 0.0, 7))[0]
    assert len(made(trip, Plan(1))[0]) == 1


def test_each_test_of_the_round_trip_can_fail(trip: RoundTrip) -> None:
    store = trip.pipeline.retriever.store
    ids = [i for batch in store.chunks.texts(trip.collection) for i, _, _ in batch]
    (logs,) = (one for one in store.chunks.passages(ids).values() if one.text.startswith("Door"))

    def outcome(question: str, answer: str, passage: Passage = logs) -> str:
        return trip.test(Candidate(Draft(question, answer, "r"), passage, 0, len(passage.text))).reason

    assert outcome("How long?", "90 days") == VAGUE
    assert outcome("For how many days are door logs kept?", "90 days") == KEPT
    assert outcome("For how many days are door logs kept?", "91 days") == ANSWERED
    assert outcome("How long does the ferry crossing to the island take?", "90 days") == NOT_FOUND
    trip = replace(trip, top_k=3)  # all there is: what is found need not be what the question is about
    assert outcome("How long does the ferry crossing to the island take?", "90 days") == VAGUE


def test_a_quantity_that_another_sentence_gives_otherwise_is_not_asked_for(tmp_path: Path) -> None:
    shelf = Shelf.open(tmp_path)
    texts = {
        "manual.md": "Spare parts are available for ten years after the end of production.",
        "minutes.md": "Spare parts remain available for seven years after that.",
    }
    shelf.put(texts)
    rows, tally = made(RoundTrip(shelf.pipeline(), shelf.store.collections.get("default"), 2), Plan(5, 0.0))
    assert rows == [] and tally.outcomes[RIVALLED] == 1


@pytest.mark.parametrize(
    ("question", "rule", "vague"),
    [
        ("How long?", "number", True),
        ("What may be kept in the corridor?", "subject", True),
        ("What may be kept in the corridor of the laboratory?", "subject", True),
        ("What may be kept in the corridor of the Skua laboratory?", "subject", False),
        ("Who may work from home up to three days a week?", "subject", False),
        ("What can be edited with pg_dump?", "subject", False),
        ("For how many days are door logs kept?", "number", False),
        ("Why are regular expressions not sufficient?", "reason", True),
        ("Why are regular expressions not sufficient for searching texts?", "reason", False),
    ],
)
def test_what_is_vague(question: str, rule: str, vague: bool) -> None:
    assert is_vague(Draft(question, "x", rule)) is vague


def test_a_sentence_that_tells_the_answer_in_other_words() -> None:
    draft = Draft("What does CREATE AGGREGATE define?", "a new aggregate function", "object")
    assert tells("New aggregate functions are registered with the CREATE AGGREGATE command.", draft)
    assert not tells("New functions are registered with the CREATE FUNCTION command.", draft)
    assert not tells("CREATE AGGREGATE is for superusers.", draft)


def test_a_sentence_cut_within_a_word_makes_nothing() -> None:
    text = "A row constructor can include the syntax rowvalue.*, which expands."
    passage = Passage(1, "d", "t", "u", 0, len(text), text)
    assert list(candidates_of(passage, frozenset())) == []


def test_a_question_with_two_answers_is_not_asked(tmp_path: Path) -> None:
    shelf = Shelf.open(tmp_path)
    shelf.put({"old.md": "The lodge dryer token costs 1.00 EUR.", "new.md": "The lodge dryer token costs 1.40 EUR."})
    rows, tally = made(RoundTrip(shelf.pipeline(), shelf.store.collections.get("default"), 2), Plan(5, 0.0))
    assert rows == [] and tally.outcomes == Counter()


@pytest.mark.parametrize(
    ("said", "gold", "same"),
    [
        ("It is 90 days.", "90 days", True),
        ("90 days", "91 days", False),
        ("Premium economy", "premium economy", True),
        ("No, it may not.", "No", True),
        ("Yes", "No", False),
        ("the caretaker of the house", "the board", False),
        ("1,240 EUR", "1,240 EUR", True),
        ("", "90 days", False),
        ("90 days", "", False),
        ("x " * 200 + "90 days", "90 days", False),
    ],
)
def test_same_answer(said: str, gold: str, same: bool) -> None:
    assert same_answer(said, gold) is same


def test_candidates_know_their_characters() -> None:
    text = "Door logs are kept for 90 days.\nProduct: Skua 200 | Weight: 1.4 kg"
    passage = Passage(1, "d", "t", "u", 0, len(text), text)
    found = {one.draft.question: text[one.start : one.end] for one in candidates_of(passage, frozenset())}
    assert found["For how many days are door logs kept?"] == "Door logs are kept for 90 days."
    assert found["What is the weight of Skua 200 according to t?"] == "Product: Skua 200 | Weight: 1.4 kg"


@pytest.mark.parametrize("plan", [Plan(0), Plan(5, 0.9), Plan(5, float("nan"))])
def test_a_plan_that_cannot_be_followed_is_refused(trip: RoundTrip, plan: Plan) -> None:
    with pytest.raises(InvalidInput, match="wanted"):
        made(trip, plan)


def test_an_empty_collection_and_one_without_questions_are_named(tmp_path: Path) -> None:
    shelf = Shelf.open(tmp_path)
    shelf.put({"a.md": "Nothing!"})
    trip = RoundTrip(shelf.pipeline(), shelf.store.collections.get("default"), 2)
    with pytest.raises(InvalidInput, match="no question could be made"):
        write_rows(tmp_path / "none.jsonl", Maker(trip, Plan()).rows(Tally(), lambda _done, _whole: None))
    shelf.store.collections.ensure("bare", shelf.retriever.encoder.fingerprint, 64)
    bare = RoundTrip(shelf.pipeline(), shelf.store.collections.get("bare"), 2)
    with pytest.raises(InvalidInput, match='collection "bare" has no passages'):
        made(bare, Plan())


def row(number: int, **more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": f"synthetic-{number}", "dataset": "synthetic-c", "question": f"Question {number}?"}
    fields |= {"passages": [{"title": "t", "text": "x"}], "answers": ["x"], "answerable": True, "synthetic": True}
    return fields | {"evidence": {"quote": "x"}, "review": ""} | more


def test_finished_rows_survive_an_interruption_and_reviews_are_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"

    def two_rows_then_stop() -> Iterator[dict[str, Any]]:
        yield from (row(1), row(2))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(file, two_rows_then_stop())
    assert len(read_set(file)) == 2
    with pytest.raises(InvalidInput, match="exists already"):
        write_rows(file, [row(3)])


@pytest.mark.parametrize("bad", [{"synthetic": False}, {"evidence": None}, {"review": "good"}])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, bad: dict[str, Any]) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text(json.dumps(row(1)) + "\n" + json.dumps(row(2) | bad) + "\n")
    with pytest.raises(InvalidInput, match="line 2: no row of eval generate"):
        read_set(file)


def test_a_sample_is_drawn_of_what_was_not_reviewed(tmp_path: Path) -> None:
    rows = [row(1, review="right"), *(row(number) for number in range(2, 9))]
    drawn = list(to_review(rows, 3))
    assert drawn == list(to_review(rows, 3)) and len(drawn) == 3 and rows[0] not in drawn
    drawn[0]["review"] = "wrong"
    file = tmp_path / "set.jsonl"
    replace_set(file, rows)
    assert reviewed(read_set(file)) == {"right": 1, "wrong": 1, "open": 6}


def test_review_in_the_terminal_notes_what_is_said(tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text("".join(json.dumps(row(number)) + "\n" for number in range(4)))
    app = typer.Typer()
    app.command()(review)
    done = CliRunner().invoke(app, [str(file), "--sample", "4"], input="r\nhm\nw\nq\n")
    assert done.exit_code == 0, done.output
    assert "1 right, 1 wrong, 2 not looked at" in done.output


@pytest.mark.models
@pytest.mark.slow
def test_a_set_from_real_models_comes_back(models_home: Path, tmp_path: Path) -> None:
    settings = Settings(home=models_home, database_url=f"sqlite:///{tmp_path / 'a.db'}", index_url=str(tmp_path / "i"))
    search = build_search(settings)
    names = ("products/skua-200-manual.html", "handbook/information-security.md", "support/service-level-agreement.pdf")
    build_ingester(settings, search).ingest_paths([ROOT / "examples" / name for name in names], "default")
    trip = RoundTrip(build_pipeline(settings, search), search.store.collections.get("default"), settings.top_k)
    rows, tally = made(trip, Plan(count=4))
    assert len(rows) == 4 and tally.drafts >= 4
    assert all(row["evidence"]["quote"] for row in rows)
