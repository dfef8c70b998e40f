"""The mean of two adapters: weight by weight, of one shape, and a clear error for others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lm.checkpoint import load
from lm.lora import LoraShape, adapter_weights, add_adapters, fingerprint, load_adapter, save_adapter
from rag.types import InvalidInput
from train.average import average


def adapter(base: Path, out: Path, value: float, rank: int = 4) -> Path:
    model = load(base)
    sha256 = fingerprint(model)
    add_adapters(model, LoraShape(rank, 8.0), seed=0)
    with torch.no_grad():
        for weight in adapter_weights(model).values():
            weight.fill_(value)
    save_adapter(model, out, sha256, LoraShape(rank, 8.0))
    return out


def test_the_mean_leans_to_the_second_by_its_share(base: Path, tmp_path: Path) -> None:
    first, second = adapter(base, tmp_path / "a", 1.0), adapter(base, tmp_path / "b", 2.0)
    average(base, first, second, 0.25, tmp_path / "mean")
    model = load(base)
    load_adapter(model, tmp_path / "mean", fingerprint(model))
    assert all(torch.allclose(weight, torch.tensor(1.25)) for weight in adapter_weights(model).values())


def test_a_share_outside_and_another_shape_are_refused(base: Path, tmp_path: Path) -> None:
    first, other = adapter(base, tmp_path / "a", 1.0), adapter(base, tmp_path / "b", 1.0, rank=2)
    with pytest.raises(InvalidInput, match=r"share 1\.5"):
        average(base, first, first, 1.5, tmp_path / "mean")
    with pytest.raises(InvalidInput, match="one shape"):
        average(base, first, other, 0.5, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
