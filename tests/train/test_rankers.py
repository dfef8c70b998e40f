"""Mining finds wrong passages only; reranker and retriever learn, and go on after a kill as if undisturbed."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rag.types import InvalidInput
from tests.fakes import HashEncoder
from tests.tiny_bert import make_tiny_bert
from train.bert import load_tokenizer
from train.groups import DEV_FILE, TRAIN_FILE, Group, passage_text, read_groups
from train.loop import BaseLoop, LoopOptions
from train.mining import mine
from train.reranker import RerankerOptions, to_row, train_reranker
from train.retriever import train_retriever
from train.sources import Ask, Source, Unit

NAMES = ("aldon", "berrow", "corvane", "dunmere", "eskford", "farholt", "glenmoor", "hartwick")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("base"))


def unit(number: int, source: str = "squad") -> Unit:
    name = NAMES[number % len(NAMES)]
    text = f"The town of {name} lies on a river. Its mayor is number {number}. "
    text += (
        "It has a market every week and a tower, and in summer people come from far away to swim in the water there."
    )
    ask = Ask(f"q{number}", f"Who is the mayor of {name}?", f"number {number}", (f"number {number}",))
    return Unit(source, f"p{number}", name, text, (ask,))


def test_a_passage_that_holds_the_answer_is_no_negative(tmp_path: Path) -> None:
    units = [unit(number) for number in range(8)]
    units.append(Unit("squad", "p9", "copy", "In short, number 3 is the one of corvane.", ()))
    groups = mine(units, (Source("squad"),), HashEncoder(), tmp_path, seed=0)
    assert len(groups) == 8
    for group in groups:
        number = next(ask.answer for one in units for ask in one.asks if ask.text == group.question)
        assert number in group.positive and len(group.negatives) >= 4
        assert not any(number in text for text in (*group.negatives, *group.lacking))
        assert group.positive not in group.negatives
    assert any(group.lacking for group in groups)


def test_where_passages_are_alike_only_clearly_further_ones_are_wrong(tmp_path: Path) -> None:
    same = [Unit("policyqa", f"p{n}", "t", "We share data with partners.", ()) for n in range(3)]
    ask = Ask("q", "Do you share data with partners?", "Yes", ("Yes",))
    asked = Unit("policyqa", "own", "t", "Yes: we share data with partners and others.", (ask,))
    far = Unit("policyqa", "far", "t", "The moon is made of rock.", ())
    (group,) = mine([*same, asked, far], (Source("policyqa", alike=True),), HashEncoder(), tmp_path, seed=0)
    assert passage_text("t", same[0].text) not in group.negatives
    assert passage_text("t", far.text) in group.negatives


def mined(folder: Path) -> Path:
    groups = []
    for number in range(24):
        name = NAMES[number % len(NAMES)]
        others = tuple(f"{other}\na tower in {other}" for other in NAMES if other != name)
        group = Group(
            f"who is the mayor of {name}?", f"{name}\nthe mayor of {name} is tall", others[:5], ("\nno",), "w"
        )
        groups.append(json.dumps({name: getattr(group, name) for name in Group.__slots__}))
    for name in (TRAIN_FILE, DEV_FILE):
        (folder / name).write_text("\n".join(groups), "utf-8")
    return folder


def options(base: Path, folder: Path, out: str, **more: Any) -> RerankerOptions:
    loop = {"steps": 6, "lr": 3e-3, "batch_tokens": 1500, "checkpoint_minutes": 0.0, "measure_minutes": 99.0}
    return RerankerOptions(base, mined(folder), folder / out, LoopOptions(**(loop | more)))


def losses(out: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]


@pytest.mark.parametrize("train", [train_reranker, train_retriever])
def test_a_killed_run_goes_on_as_if_undisturbed(
    train: Any, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(options(base, tmp_path, "whole"))
    take_step = BaseLoop.step

    def step_or_die(loop: BaseLoop) -> dict[str, Any]:
        if loop.progress.step == 3:
            raise KeyboardInterrupt
        return take_step(loop)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(BaseLoop, "step", step_or_die)
        train(options(base, tmp_path, "killed"))
    again = train(options(base, tmp_path, "killed"))
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert again["val_loss"] == whole["val_loss"] and whole["steps"] == 6
    weights = [tmp_path / run / "adapter_model.safetensors" for run in ("whole", "killed")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_the_reranker_learns(base: Path, tmp_path: Path) -> None:
    result = train_reranker(options(base, tmp_path, "out", steps=60))
    first, last = losses(tmp_path / "out")[0][1], losses(tmp_path / "out")[-1][1]
    assert last < 0.8 * first
    assert result["dev"]["mrr"] is not None and result["dev"]["answers_auroc"] > 0.9


def test_what_is_no_mined_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"question": "q"}\n')
    with pytest.raises(InvalidInput, match=r"python -m train\.mining"):
        read_groups(tmp_path / "x.jsonl")


def test_groups_asked_by_a_sentence_teach_ranking_alone(base: Path, tmp_path: Path) -> None:
    """What a sentence is about does not answer it: such pairs count for the first loss and not for the second."""
    tokenizer = load_tokenizer(base)
    row = to_row(Group("a tower", "t\na tower stands", ("t\na river",), told=False), tokenizer, random.Random(0))
    assert row.ranked == 2 and row.answers == (None, None)
    report = train_reranker(replace(options(base, tmp_path, "cloze"), cloze=1.0))
    assert report["steps"] == 6 and math.isfinite(report["loss"])
