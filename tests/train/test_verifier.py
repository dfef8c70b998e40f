"""The verifier's training data and loss: true labels, marked edits, statements, and a run that learns."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from rag.check import MAX_TOKENS
from rag.datafiles import Label
from rag.pair_model import PAIR_WEIGHTS, PairCard
from rag.pair_tokens import PairTokenizer
from tests.pairs import write_base
from tests.train.conftest import place_text
from train.claim_edits import EDITS, changed, edit, partly
from train.encoder_rows import EncoderRows
from train.encoder_run import RunOptions, train
from train.loop import LoopOptions
from train.on_policy import label_of
from train.sources import Source, holds, read_dev, seen_texts
from train.statements import statement
from train.verifier import check_loss, verifier_job
from train.verifier_rows import (
    CheckExample,
    balance,
    claim_examples,
    make_rows,
    part_of,
    source_examples,
    to_row,
)

CHANGES = {name: (change, label) for name, change, label in EDITS}


@pytest.fixture
def data(train_folder: Path, dev_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """data/ with towns to ask about and two claim files."""
    (tmp_path / "data" / "qa").mkdir(parents=True)
    train_folder.rename(tmp_path / "data" / "qa" / "train")
    dev_folder.rename(tmp_path / "data" / "qa" / "dev")
    for part, names in (("train", range(1, 8)), ("dev", range(1))):
        folder = tmp_path / "data" / "claims" / part
        folder.mkdir(parents=True)
        rows = [claim for number in names for claim in town_claims(number)]
        (folder / "rte.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr("train.verifier_rows.SOURCES", (Source("squad", window=1300),))
    monkeypatch.setattr("train.verifier_rows.CLAIM_FILES", {"rte": 0})
    monkeypatch.setattr("train.verifier_rows.DOCUMENTS", 0)
    return tmp_path / "data"


def town_claims(number: int) -> list[dict[str, Any]]:
    text = place_text(number)
    fields = {"dataset": "rte", "passage": text}
    return [
        fields | {"id": f"{number}-yes", "claim": f"It was founded in {1801 + number}.", "label": "supported"},
        fields | {"id": f"{number}-no", "claim": f"It was founded in {1701 + number}.", "label": "refuted"},
    ]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("bert"), map(place_text, range(8)))


@pytest.mark.parametrize(
    ("question", "answer", "said"),
    [
        ("Who wrote Hamlet?", "Shakespeare", "Shakespeare wrote Hamlet."),
        ("What is the capital of Peru?", "Lima", "The capital of Peru is Lima."),
        ("In what year was the mill built?", "1901", "The mill was built in 1901."),
        ("How many people live in Oban?", "8,000", "8,000 people live in Oban."),
        ("When did the mill burn?", "in 1903", "The mill did burn in 1903."),
        ("Who was the Mirror of Twilight used to fight?", "Ganondorf", ""),
        ("Which US county has the highest wage?", "New York", ""),
        ("Is it so?", "yes", ""),
        ("", "", ""),
    ],
)
def test_statements(question: str, answer: str, said: str) -> None:
    assert statement(question, answer) == said


@pytest.mark.parametrize(
    ("kind", "claim", "expected"),
    [
        ("date", "It opened on Monday.", r"It opened on (?!Monday)\w+day\."),
        ("unit", "It is 12 miles long.", r"It is 12 kilometres long\."),
        ("compare", "It has more doors.", r"It has less doors\."),
        ("roles", "In spring Alice beat Bobby.", r"In spring Bobby beat Alice\."),
        ("negation", "It is open.", r"It is not open\."),
        ("number", "It has 12 doors.", r"It has (?!12 )\d+ doors\."),
    ],
)
def test_edits_change_one_thing_and_mark_it(kind: str, claim: str, expected: str) -> None:
    import re

    text = CHANGES[kind][0](claim, [claim], random.Random(1))
    assert re.fullmatch(expected, text), text
    start, end = changed(claim, text)
    assert text[start:end].strip() == text[start:end] != ""


def test_marks_are_whole_words_also_where_a_word_was_taken_out() -> None:
    assert changed("It has 12 doors.", "It has 13 doors.") == (7, 9)
    old, new = "It is not open today.", "It is open today."
    start, end = changed(old, new)
    assert new[start:end] in ("is open", "open", "is")
    made = edit("It has 12 doors.", [], random.Random(0))
    assert made is not None
    both = partly("It is old.", made)
    assert both.text[both.start : both.end] == made.text[made.start : made.end]
    assert edit("Nothing here", [], random.Random(0)) is None


def test_labels_of_question_examples_are_true(data: Path) -> None:
    source = Source("squad", 10**9, window=1300)
    seen = read_dev(data / "qa" / "dev")
    made = [one for seed in range(5) for one in source_examples(data / "qa" / "train", source, seen, seed)]
    assert {Label.SUPPORTED, Label.REFUTED, Label.NEI, Label.NOT_SUPPORTED} <= {one.label for one in made}
    for one in made:
        if one.kind == "right" and one.question and len(one.claim.split()) < 3:
            assert holds(one.passage, one.claim)
        if one.kind in ("absent", "cut") and one.question and len(one.claim.split()) < 3:
            assert not holds(one.passage, one.claim)
        if one.kind == "sentence":
            assert one.claim.rstrip(".") in one.passage and one.wrong == (0, 0)
        if one.label is not Label.SUPPORTED and one.wrong[1] > 0:
            assert one.claim[slice(*one.wrong)].strip()


def test_what_dev_files_hold_is_left_out(data: Path) -> None:
    from rag.datafiles import read_claims

    rows = read_claims(data / "claims" / "train" / "rte.jsonl")
    assert len(claim_examples(rows, seen_texts([], []), 99, 0)) == 14
    assert len(claim_examples(rows, seen_texts([rows[0].claim.upper()], [rows[2].passage]), 99, 0)) == 11


def test_rows_point_at_the_wrong_words(base: Path) -> None:
    tokenizer = PairTokenizer(base / "tokenizer.json")
    claim = "The town of Aldon was founded in 1802."
    spot = (claim.index("1802"), claim.index("1802") + 4)
    example = CheckExample("s", "number", "When?", claim, place_text(0) * 20, Label.REFUTED, spot)
    row = to_row(example, tokenizer)
    assert row is not None
    pair, (label, first, last) = row
    assert (label, len(pair)) == (1, MAX_TOKENS)
    assert pair.ids[first:last].tolist() == tokenizer.read(["1802"])[0].ids.tolist()
    assert to_row(CheckExample("s", "", "", "word " * 200, "x", Label.NEI), tokenizer) is None


def test_the_loss_takes_not_supported_as_either_of_two(base: Path) -> None:
    tokenizer = PairTokenizer(base / "tokenizer.json")
    rows = []
    for label in (Label.SUPPORTED, Label.NOT_SUPPORTED):
        row = to_row(CheckExample("s", "", "", "It is.", "It is so.", label), tokenizer)
        assert row is not None
        rows.append((*row, 1.0))
    batch = EncoderRows.pack(rows).batch([0, 1])
    words = torch.zeros(2, batch.ids.shape[1])
    labels = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.5, 0.3]]))
    expected = (-math.log(0.5) - math.log(0.8)) / 2
    assert float(check_loss((labels, words), batch)) == pytest.approx(expected, abs=1e-5)


def test_labels_count_alike_within_a_source() -> None:
    examples = [CheckExample("s", "", "", "c", "p", Label.SUPPORTED)] * 3
    examples += [CheckExample("s", "", "", "c", "p", Label.NEI)] * 6
    weights = balance(examples)
    assert sum(weights[:3]) == pytest.approx(sum(weights[3:]))


def test_the_generators_answers_get_the_label_that_gold_gives_them() -> None:
    assert label_of("27 days", ("27 days",), told=True) is Label.SUPPORTED
    assert label_of("It is 27 days long, they say.", ("27 days",), told=True) is Label.SUPPORTED
    assert label_of("Paris", ("27 days",), told=True) is Label.NOT_SUPPORTED
    assert label_of("28 days", ("27 days",), told=True) is None
    assert label_of("27 days", ("27 days",), told=False) is Label.NEI


def test_a_run_learns_and_leaves_a_model_for_models(base: Path, data: Path, tmp_path: Path) -> None:
    loop = LoopOptions(steps=60, lr=2e-3, batch_tokens=900, checkpoint_minutes=9.0)
    wanted = RunOptions(base, data, tmp_path / "run", loop)
    result = train(verifier_job(wanted, size=4), wanted)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
    assert {"balanced_accuracy", "auroc", "by_file"} <= set(result["dev"])
    assert set(result["dev"]["by_file"]) <= {"rte", "edits", "answers"}
    assert PairCard.read(tmp_path / "run" / "model").head == "check"
    assert (tmp_path / "run" / "model" / PAIR_WEIGHTS).is_file()


def test_parts_can_be_left_out_to_see_their_worth(data: Path, tmp_path: Path) -> None:
    tokenizer = PairTokenizer(write_base(tmp_path / "base", map(place_text, range(8))) / "tokenizer.json")
    whole, _ = make_rows(data, tokenizer, 0, 0)
    for part in ("claims", "sentences"):
        rest, report = make_rows(data, tokenizer, 0, 0, without=(part,))
        assert 0 < len(rest) < len(whole)
        assert ("rte file" in str(report["kinds"])) is (part != "claims")


@pytest.mark.parametrize(
    ("kind", "question", "part"),
    [
        ("file", "", "claims"),
        ("right", "Who?", "answers"),
        ("right", "", "statements"),
        ("cut sentence", "", "sentences"),
    ],
)
def test_every_example_belongs_to_a_part(kind: str, question: str, part: str) -> None:
    assert part_of(CheckExample("squad", kind, question, "claim", "passage", Label.SUPPORTED)) == part
