"""A head fitted by least squares says what the old one said; weights that fit no base are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lm.cross_encoder import CrossEncoder
from rag.types import InvalidInput
from tests.tiny_bert import make_tiny_bert
from train.bert import ADAPTER_FILE, load_bert, save_trained
from train.groups import DEV_FILE, TRAIN_FILE, Group
from train.refit_head import fit, load_with_old_head, read_both, refit

WORDS = "heater battery winter starts below three degrees river tower mayor market".split()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = CrossEncoder(load_bert(base), seed=4)
    torch.manual_seed(4)
    with torch.no_grad():
        model.head.weight.normal_()
    folder = tmp_path_factory.mktemp("trained")
    save_trained(model, folder)
    return folder / ADAPTER_FILE


def groups(folder: Path, name: str, count: int, seed: int) -> None:
    draw = np.random.default_rng(seed)

    def text() -> str:
        return " ".join(draw.choice(WORDS, int(draw.integers(3, 30))))

    made = [Group(text(), f"t\n{text()}", (f"t\n{text()}", f"u\n{text()}"), (f"t\n{text()}",)) for _ in range(count)]
    lines = [json.dumps({field: getattr(group, field) for field in Group.__slots__}) for group in made]
    (folder / name).write_text("\n".join(lines), "utf-8")


def test_the_new_head_says_what_the_old_one_said(base: Path, trained: Path, tmp_path: Path) -> None:
    groups(tmp_path, TRAIN_FILE, 150, 1)
    groups(tmp_path, DEV_FILE, 40, 2)
    figures: dict[str, Any] = refit(base, trained, tmp_path, tmp_path / "out", most=600)
    assert (figures["fitted_on"], figures["measured_on"]) == (600, 160)
    for name in ("relevant", "answers"):
        assert figures[name]["correlation"] > 0.98
        assert figures[name]["rms_change"] < 0.2 * figures[name]["std"]
    old, new = load_file(trained), load_file(tmp_path / "out" / ADAPTER_FILE)
    assert old.keys() == new.keys()
    assert {name for name in old if not torch.equal(old[name], new[name])} == {"head.weight", "head.bias"}


def test_least_squares_by_another_way(base: Path, trained: Path) -> None:
    model = load_with_old_head(base, trained)
    draw = np.random.default_rng(0)
    pairs = [((2, *map(int, draw.integers(5, 30, 20)), 3), 8) for _ in range(400)]
    reads, olds = (torch.cat(part).double().numpy() for part in zip(*read_both(model, pairs), strict=True))
    seen = np.concatenate([reads, np.ones((len(reads), 1))], axis=1)
    best, *_ = np.linalg.lstsq(seen, olds, rcond=None)
    with torch.no_grad():
        found = fit(model, pairs)(torch.from_numpy(reads).float()).numpy()
    least = np.square(seen @ best - olds).mean()
    assert least <= np.square(found - olds).mean() < least + 0.01 * olds.var()


def test_weights_that_do_not_fit_are_refused(base: Path, trained: Path, tmp_path: Path) -> None:
    weights = load_file(trained)
    with pytest.raises(InvalidInput, match=r"head\.weight"):
        save_file({name: value for name, value in weights.items() if name != "head.weight"}, tmp_path / "a")
        load_with_old_head(base, tmp_path / "a")
    with pytest.raises(InvalidInput, match="not the weights of a reranker"):
        save_file(weights | {"head.bias": torch.zeros(3)}, tmp_path / "b")
        load_with_old_head(base, tmp_path / "b")
    with pytest.raises(InvalidInput, match="not the weights of a reranker"):
        load_with_old_head(base, tmp_path / "none")
