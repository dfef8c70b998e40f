"""The reader's training: spans where they stand, unanswerable ones that are, a model that learns, and exact resume."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rag.pair_model import CARD_FILE, PAIR_WEIGHTS, PairCard
from rag.pair_tokens import PairTokenizer
from rag.reader import MAX_TOKENS
from rag.types import InvalidInput
from tests.pairs import write_base
from tests.train.conftest import place_text
from train.encoder_rows import EncoderRows, bucketed
from train.encoder_run import ROWS_FILE, EncoderLoop, Job, RunOptions, to_options, train
from train.encoder_run import option_parser as parser
from train.loop import LoopOptions, TrainingFailed
from train.reader import calibrate, dev_sample, reader_job, score, span_loss
from train.reader_rows import ReaderExample, locate, source_examples, to_row
from train.sources import Ask, Source, holds, read_dev

SIZES = {"nq_oracle": 5, "squad2": 5}


@pytest.fixture
def data(train_folder: Path, dev_folder: Path, tmp_path: Path) -> Path:
    """data/qa/train and data/qa/dev of towns."""
    qa = tmp_path / "data" / "qa"
    qa.mkdir(parents=True)
    train_folder.rename(qa / "train")
    dev_folder.rename(qa / "dev")
    return tmp_path / "data"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    questions = ["When was the town of founded? Who is mayor of? On which river does stand?"]
    return write_base(tmp_path_factory.mktemp("bert"), [*map(place_text, range(8)), *questions])


@pytest.fixture(autouse=True)
def _one_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.reader_rows.SOURCES", (Source("squad", window=1300),))


def options(base: Path, data: Path, out: Path, **more: Any) -> RunOptions:
    loop = LoopOptions(**({"steps": 6, "lr": 3e-3, "batch_tokens": 900, "checkpoint_minutes": 9.0} | more))
    return RunOptions(base, data, out, loop)


def examples(data: Path, seed: int = 0) -> list[ReaderExample]:
    seen, source = read_dev(data / "qa" / "dev"), Source("squad", 10**9)
    return source_examples(data / "qa" / "train", source, seen, Counter(), seed)


def test_spans_stand_where_they_say_and_the_rest_is_not_told(data: Path) -> None:
    made = [example for seed in range(6) for example in examples(data, seed)]
    assert {"span", "absent", "cut"} <= {example.kind for example in made}
    for example in made:
        said = example.passage[example.start : example.end]
        assert bool(said) == (example.kind == "span")
        if example.kind == "absent":
            town = next(word for word in example.question.split() if word[:1].isupper() and word not in ("When", "On"))
            assert not holds(example.passage, town.strip("?"))


def test_dev_questions_and_paragraphs_are_left_out(data: Path) -> None:
    asked = [example.question for example in examples(data) if example.kind != "swapped"]
    assert not any("mayor of Farholt" in question for question in asked)
    assert not any("Aldonwater" in example.passage for example in examples(data))


def test_the_same_seed_gives_the_same_examples(data: Path) -> None:
    assert examples(data) == examples(data) != examples(data, seed=1)


def test_an_answer_that_stands_twice_is_taken_where_the_question_points() -> None:
    text = "It opened in 1901. The bridge fell in 1901, a year of floods."
    spot = locate(text, Ask("1", "When did the bridge fall into the floods?", "1901", ("1901",)))
    assert spot == (text.rindex("1901"), text.rindex("1901") + 4)
    assert locate("Nothing of it, 19012 aside.", Ask("1", "When?", "1901", ("1901",))) is None


def test_rows_point_at_the_tokens_of_the_answer_also_where_the_passage_is_cut(base: Path) -> None:
    tokenizer = PairTokenizer(base / "tokenizer.json")
    text = place_text(0) * 12 + place_text(1)
    start = text.index("1802")
    row = to_row(ReaderExample("s", "span", "When was Berrow founded?", text, start, start + 4), tokenizer)
    assert row is not None
    pair, (first, last), _ = row
    assert len(pair) <= MAX_TOKENS
    assert pair.ids[first : last + 1].tolist() == tokenizer.read(["1802"])[0].ids.tolist()
    assert to_row(ReaderExample("s", "span", "Who?", text, 0, len(text)), tokenizer) is None


def test_every_row_is_in_one_batch_of_an_epoch_within_the_budget() -> None:
    lengths = np.random.default_rng(0).integers(5, 90, 500)
    batches = bucketed(lengths, 400, seed=3)
    assert sorted(number for batch in batches for number in batch) == list(range(500))
    assert all(max(lengths[batch]) * len(batch) <= 400 for batch in batches)
    assert batches == bucketed(lengths, 400, seed=3) != bucketed(lengths, 400, seed=4)


def test_rows_survive_the_disk_and_a_broken_file_is_named(base: Path, data: Path, tmp_path: Path) -> None:
    tokenizer = PairTokenizer(base / "tokenizer.json")
    made = [row for example in examples(data) if (row := to_row(example, tokenizer))]
    rows = EncoderRows.pack(made)
    rows.save(tmp_path / "rows")
    kept = EncoderRows.load(tmp_path / "rows")
    assert all((getattr(kept, name) == getattr(rows, name)).all() for name in EncoderRows.__slots__)
    batch = kept.batch([0, 1])
    assert batch.ids[0, : len(made[0][0])].tolist() == made[0][0].ids.tolist()
    assert int(batch.types[0].sum()) == len(made[0][0]) - made[0][0].second_at
    (tmp_path / "rows").write_bytes(b"cut")
    with pytest.raises(TrainingFailed, match="not the rows of a run"):
        EncoderRows.load(tmp_path / "rows")


def test_the_loss_knows_no_places_outside_the_passage(base: Path) -> None:
    tokenizer = PairTokenizer(base / "tokenizer.json")
    row = to_row(ReaderExample("s", "none", "Who is mayor?", place_text(0)), tokenizer)
    assert row is not None
    batch = EncoderRows.pack([row]).batch([0])
    logits = torch.zeros(1, batch.ids.shape[1], 2)
    logits[0, 1 : row[0].second_at] = 50.0  # the question
    passage = len(row[0]) - 1 - row[0].second_at
    assert float(span_loss((logits,), batch)) == pytest.approx(np.log(passage + 1), rel=1e-4)


def test_a_run_learns_and_leaves_a_model_for_models(base: Path, data: Path, tmp_path: Path) -> None:
    wanted = options(base, data, tmp_path / "run", steps=60)
    result = train(reader_job(wanted, sizes=SIZES), wanted)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    first, last = lines[0]["loss"], lines[-2]["loss"]
    assert last < 0.8 * first and result["steps"] == 60
    assert {"em", "f1", "f1_with_refusals", "refusal_f1", "by_dataset"} <= set(result["dev"])
    card = PairCard.read(tmp_path / "run" / "model")
    assert (card.name, card.head, set(card.calibration)) == ("answerable-reader", "span", {"temperature", "bias"})
    assert (tmp_path / "run" / "model" / PAIR_WEIGHTS).is_file() and (tmp_path / "run" / "model" / CARD_FILE).is_file()


def test_a_killed_run_goes_on_as_if_undisturbed(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(out: Path) -> list[float]:
        wanted = options(base, data, out, checkpoint_minutes=0.0, steps=5)
        job = replace(reader_job(wanted, sizes=SIZES), measure=lambda _runs: ({"val_loss": 1.0}, {}))
        train(job, wanted)
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        return [line["loss"] for line in lines if "loss" in line]

    whole = run(tmp_path / "whole")
    step = EncoderLoop.step

    def die(loop: EncoderLoop) -> dict[str, Any]:
        if loop.progress.step == 3:
            raise KeyboardInterrupt
        return step(loop)

    with monkeypatch.context() as patch:
        patch.setattr(EncoderLoop, "step", die)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut")
    assert run(tmp_path / "cut") == whole


def test_a_folder_of_another_run_is_refused(base: Path, data: Path, tmp_path: Path) -> None:
    def run(lr: float) -> None:
        wanted = options(base, data, tmp_path / "run", steps=1, lr=lr)
        job: Job = replace(reader_job(wanted, sizes=SIZES), measure=lambda _runs: ({"val_loss": 1.0}, {}))
        train(job, wanted)

    run(1e-3)
    with pytest.raises(InvalidInput, match="a run with other data, base or settings"):
        run(2e-3)
    (tmp_path / "run" / ROWS_FILE).write_bytes(b"cut")
    with pytest.raises(TrainingFailed, match="not the rows of a run"):
        run(1e-3)


def test_scores_and_calibration_by_hand(data: Path) -> None:
    from rag.reader import Reading, Span

    sample = dev_sample(data / "qa" / "dev", SIZES)
    random.Random(0).shuffle(sample)

    def reading(text: str, margin: float, none: float) -> Reading:
        return Reading(none, (Span(0, 0, len(text), text, margin, 1 - none),))

    readings = [
        reading("apples" if row.id == "sq-2" else "two", 4.0, 0.2) if row.answerable else reading("x", -4.0, 0.9)
        for row in sample
    ]
    scores = score(sample, readings)
    assert scores.n == 3 and scores.em == 0.5 and scores.f1 == pytest.approx((1 + 2 / 3) / 2, abs=1e-4)
    assert scores.refusal_f1 == 1.0 and scores.answerable_auroc == 1.0
    fitted, loss = calibrate(sample, readings)
    assert fitted.temperature > 0 and -4 < fitted.bias < 4 and loss < 0.3


def test_values_that_no_run_can_have() -> None:
    given = parser("").parse_args(["--base", "b", "--data", "d", "--out", "o", "--minutes", "0"])
    with pytest.raises(InvalidInput, match="neither steps nor minutes"):
        to_options(given)
