"""`tune` from data files to an adapter that merges, twice into the same folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import train.tune
from lm.checkpoint import load
from lm.lora import LoraShape, fingerprint, load_adapter, merge
from rag.types import InvalidInput
from train.loop import LoopOptions
from train.recipes import make_groups
from train.sources import Source
from train.tune import TuneOptions, read_options, tune


@pytest.fixture
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes and dev sample of the files that the fixtures write."""
    sources = (Source("squad"), Source("boolq"))
    monkeypatch.setattr(train.tune, "make_groups", lambda folder, dev, seed: make_groups(folder, dev, seed, sources))
    monkeypatch.setattr(train.tune, "DEV_SIZES", {"boolq": 1, "squad2": 2})
    monkeypatch.setattr(train.tune, "HELD_OUT", 2)


@pytest.mark.usefixtures("small_data")
def test_an_adapter_is_trained_saved_and_gone_on_with(
    base: Path, train_folder: Path, dev_folder: Path, tmp_path: Path
) -> None:
    loop = LoopOptions(steps=2, batch_tokens=1000)
    result = tune(TuneOptions(base, train_folder, dev_folder, tmp_path / "run", loop, longest=2000))
    assert result["steps"] == 2
    assert result["out"] == str(tmp_path / "run")
    assert 0 < result["dev"]["n"] <= 3
    assert 0 < result["val_loss"] < 20
    model = load(base)
    load_adapter(model, tmp_path / "run", fingerprint(model))
    merge(base, tmp_path / "run", tmp_path / "merged")
    report = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert report["sources"]["squad"]["in dev"] == 4
    # The examples are kept with the run: it ends, and goes on, without the data they were made of.
    (train_folder / "squad.jsonl").unlink()
    assert tune(TuneOptions(base, train_folder, dev_folder, tmp_path / "run", loop, longest=2000))["steps"] == 2


@pytest.mark.usefixtures("small_data")
def test_other_settings_do_not_go_on_with_a_run(
    base: Path, train_folder: Path, dev_folder: Path, tmp_path: Path
) -> None:
    def options(rate: float) -> TuneOptions:
        loop = LoopOptions(steps=1, lr=rate, batch_tokens=1000)
        return TuneOptions(base, train_folder, dev_folder, tmp_path / "run", loop, longest=2000)

    tune(options(0.001))
    with pytest.raises(InvalidInput, match="other data, base or settings"):
        tune(options(0.002))


@pytest.mark.usefixtures("small_data")
def test_a_run_goes_on_from_the_adapter_of_another(
    base: Path, train_folder: Path, dev_folder: Path, tmp_path: Path
) -> None:
    def options(name: str, rank: int = 16, start: Path | None = None) -> TuneOptions:
        loop = LoopOptions(steps=3, lr=0.01, batch_tokens=1000)
        shape = LoraShape(rank, 32.0)
        return TuneOptions(base, train_folder, dev_folder, tmp_path / name, loop, shape, longest=2000, start=start)

    first = tune(options("first"))
    second = tune(options("second", start=tmp_path / "first"))
    assert second["val_loss"] < first["val_loss"]
    steps = [json.loads(line) for line in (tmp_path / "second" / "metrics.jsonl").read_text().splitlines()]
    fresh = [json.loads(line) for line in (tmp_path / "first" / "metrics.jsonl").read_text().splitlines()]
    assert steps[0]["loss"] < fresh[0]["loss"] - 0.1  # the same batch, after three steps on others
    with pytest.raises(InvalidInput, match=r"rank=16.*asked for.*rank=8"):
        tune(options("third", rank=8, start=tmp_path / "first"))


def test_the_command_line_names_everything() -> None:
    line = "--base b --train t --dev d --out o --minutes 5 --lr 0.002 --rank 8 --first-layer 3 --seed 4"
    options = read_options(line.split())
    assert (options.base, options.out) == (Path("b"), Path("o"))
    assert (options.loop.minutes, options.loop.lr, options.loop.seed) == (5.0, 0.002, 4)
    assert (options.lora.rank, options.lora.first_layer) == (8, 3)
