"""A network comes near to its teacher, goes on after a kill without asking it again, and refuses what does not fit."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lm.cross_encoder import CrossEncoder
from rag.rerank import OpenVinoReranker
from rag.rerank_export import export_reranker
from rag.types import InvalidInput
from tests.tiny_bert import make_tiny_bert
from train.bert import ADAPTER_FILE, load_bert, save_trained
from train.distil_reranker import TEACHER_FILE, DistilOptions, distil, load_start, training_texts
from train.groups import DEV_FILE, TRAIN_FILE, Group
from train.loop import METRICS_FILE, LoopOptions

WORDS = "heater battery winter starts below three degrees river tower mayor market".split()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("base"), layers=3)


def save(base: Path, folder: Path, noise: float = 0.0) -> Path:
    """Weights of a network whose logits differ from pair to pair, with some noise on those of its encoder."""
    model = CrossEncoder(load_bert(base), seed=4)
    with torch.no_grad():
        model.head.weight.normal_()
        for weight in model.bert.encoder.parameters():
            weight.add_(noise * torch.randn_like(weight))
    save_trained(model, folder)
    return folder / ADAPTER_FILE


@pytest.fixture(scope="module")
def teacher(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("teacher")
    export_reranker(base, save(base, tmp_path_factory.mktemp("taught")), out, "teacher")
    return out


@pytest.fixture(scope="module")
def mined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mined")
    draw = np.random.default_rng(1)

    def text() -> str:
        return " ".join(draw.choice(WORDS, int(draw.integers(3, 30))))

    for name, count in ((TRAIN_FILE, 60), (DEV_FILE, 12)):
        made = [
            Group(text(), f"t\n{text()}", (f"t\n{text()}", f"u\n{text()}"), (f"t\n{text()}",), altered=text())
            for _ in range(count)
        ]
        lines = [json.dumps({field: getattr(group, field) for field in Group.__slots__}) for group in made]
        (folder / name).write_text("\n".join(lines), "utf-8")
    return folder


def options(base: Path, teacher: Path, mined: Path, out: Path, **loop: Any) -> DistilOptions:
    given = {"lr": 1e-3, "batch_tokens": 3000, "checkpoint_minutes": 0.0, "measure_minutes": 99.0} | loop
    return DistilOptions(base, teacher, save(base, out.parent / "start", 0.1), mined, out, LoopOptions(**given))


def test_it_comes_near_to_its_teacher(base: Path, teacher: Path, mined: Path, tmp_path: Path) -> None:
    before = distil(options(base, teacher, mined, tmp_path / "before", steps=1, lr=1e-9))["dev"]
    after = distil(options(base, teacher, mined, tmp_path / "after", steps=60))["dev"]
    lines = [json.loads(line) for line in (tmp_path / "after" / METRICS_FILE).read_text("utf-8").splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert sum(losses[-10:]) / 10 < 0.3 * losses[0]
    for name in ("relevant_correlation", "answers_correlation"):
        assert before[name] < after[name]


def test_the_teacher_is_asked_once(
    base: Path, teacher: Path, mined: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = options(base, teacher, mined, tmp_path / "out", steps=2)
    distil(given)
    logits = np.load(tmp_path / "out" / TEACHER_FILE)
    assert logits.shape == (5 * 60, 2)  # gold, two mined, one that lacks the answer, one asked otherwise
    reranker = OpenVinoReranker(teacher)
    group = json.loads((mined / TRAIN_FILE).read_text("utf-8").splitlines()[7])
    np.testing.assert_array_equal(logits[35], reranker.logits(group["question"], [group["positive"]])[0])
    np.testing.assert_array_equal(logits[39], reranker.logits(group["altered"], [group["positive"]])[0])
    monkeypatch.setattr("train.distil_reranker.logits_of", lambda *_: pytest.fail("asked again"))
    assert distil(given)["steps"] == 2


def test_a_share_of_the_groups_is_asked_by_a_sentence_as_well(base: Path, teacher: Path, tmp_path: Path) -> None:
    text = (
        "The heater of the tower starts below three degrees in the winter. The battery stands in the tower by the river "
        "since the market was built. A mayor of the town likes to look at it when he goes to the market."
    )
    groups = [Group(f"q{number}?", f"t\n{text}", ("t\nno",)) for number in range(40)]
    lines = [json.dumps({field: getattr(group, field) for field in Group.__slots__}) for group in groups]
    (tmp_path / TRAIN_FILE).write_text("\n".join(lines), "utf-8")
    given = replace(options(base, teacher, tmp_path, tmp_path / "out", steps=1), cloze=0.5)
    texts = training_texts(given, random.Random(0))
    assert [some[0][0] for some in texts[:40]] == [group.question for group in groups]
    assert 10 < len(texts) - 40 < 30
    for (question, rest), *others in texts[40:]:
        assert question in text and question not in rest and others == [(question, "t\nno")]


def test_what_does_not_fit_is_refused(base: Path, teacher: Path, mined: Path, tmp_path: Path) -> None:
    weights = load_file(save(base, tmp_path))
    save_file({name: value for name, value in weights.items() if name != "head.weight"}, tmp_path / "a")
    with pytest.raises(InvalidInput, match=r"head\.weight"):
        load_start(base, tmp_path / "a")
    with pytest.raises(InvalidInput, match="not the weights of a reranker"):
        load_start(base, tmp_path / "none")
    given = options(base, teacher, mined, tmp_path / "out", steps=1)
    given.out.mkdir()
    np.save(given.out / TEACHER_FILE, np.zeros((3, 2), np.float32))
    with pytest.raises(InvalidInput, match=r"3 logits in teacher\.npy for 300 pairs"):
        distil(given)
