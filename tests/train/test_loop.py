"""The loop learns, goes on after a kill as if undisturbed, and fails without losing what it had."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import train.decoder_loop
import train.loop
from lm.checkpoint import load
from lm.config import read_config
from lm.lora import LoraShape, adapter_weights, add_adapters
from lm.model import Decoder
from lm.tokenizer import Tokenizer
from rag.types import InvalidInput
from train.batches import Row, Tokens, pack
from train.decoder_loop import DecoderLoop
from train.loop import CHECKPOINT_FILE, METRICS_FILE, LoopOptions, TrainingFailed, in_bf16


def rows_of(tokenizer: Tokenizer, count: int) -> list[Row]:
    """Groups of two questions each, answers that only the prompt tells apart."""

    def tokens(number: int, question: str) -> Tokens:
        prompt = tokenizer.encode(f"Passage {number}. {question}")
        return Tokens(tuple(prompt), tuple(tokenizer.encode(f"{question[:2]}{number * 7 % 50}")))

    return [pack([tokens(number, "name?"), tokens(number, "year?")]) for number in range(count)]


def new_loop(base: Path, rows: list[Row], out: Path, **options: Any) -> DecoderLoop:
    model = load(base)
    add_adapters(model, LoraShape(8, 16.0), seed=0)
    settings = {"steps": 12, "lr": 0.01, "batch_tokens": 150, "checkpoint_minutes": 0.0, "measure_minutes": 99.0}
    return DecoderLoop(model, adapter_weights(model), rows, LoopOptions(**(settings | options)), out)


def nothing() -> dict[str, Any]:
    return {"val_loss": 0.5}


def losses(out: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (out / METRICS_FILE).read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Stop like a kill: in the middle of a step, with nothing said."""
    take_step = DecoderLoop.step

    def step_or_die(loop: DecoderLoop) -> dict[str, Any]:
        if loop.progress.step == step:
            raise KeyboardInterrupt
        return take_step(loop)

    monkeypatch.setattr(DecoderLoop, "step", step_or_die)


def test_a_tiny_model_learns_its_examples_by_heart(base: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Decoder(read_config(base))
    options = LoopOptions(steps=160, lr=0.008, batch_tokens=2500, checkpoint_minutes=99)
    loop = DecoderLoop(model, dict(model.named_parameters()), rows_of(tokenizer, 25), options, tmp_path)
    progress = loop.run("learn", nothing)
    assert losses(tmp_path)[0][1] > 4
    assert progress.loss < 0.05


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_killed_run_goes_on_as_if_undisturbed(
    base: Path, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    rows = rows_of(tokenizer, 10)
    whole = new_loop(base, rows, tmp_path / "whole", accumulate=accumulate)
    whole.run("same", nothing)
    with monkeypatch.context() as patch:
        kill_at(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            new_loop(base, rows, tmp_path / "killed", accumulate=accumulate).run("same", nothing)
    # A step that was taken and logged, but not in the checkpoint, is cut off and taken again.
    with (tmp_path / "killed" / METRICS_FILE).open("a") as file:
        file.write('{"step": 6, "loss": 99}\n{"step": 7, "lo')
    resumed = new_loop(base, rows, tmp_path / "killed", accumulate=accumulate)
    resumed.run("same", nothing)
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert len(losses(tmp_path / "whole")) == 12
    for name, weight in whole.weights.items():
        assert torch.equal(weight, resumed.weights[name]), name


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(
    base: Path, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = new_loop(base, rows_of(tokenizer, 4), tmp_path)
    loop.step()
    loop.save("same")
    kept = (tmp_path / CHECKPOINT_FILE).read_bytes()
    before = {name: weight.detach().clone() for name, weight in loop.weights.items()}
    monkeypatch.setattr(train.decoder_loop, "weighted_loss", lambda logits, _batch: logits.sum() * float("nan"))
    with pytest.raises(TrainingFailed, match=r"step 2: the loss is nan.*lower --lr than 0\.01"):
        loop.run("same", nothing)
    assert (tmp_path / CHECKPOINT_FILE).read_bytes() == kept
    assert all(torch.equal(weight, before[name]) for name, weight in loop.weights.items())


def test_a_full_disk_keeps_the_checkpoint_before(
    base: Path, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = new_loop(base, rows_of(tokenizer, 4), tmp_path)
    loop.save("same")
    kept = (tmp_path / CHECKPOINT_FILE).read_bytes()

    def full(_tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half a file")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(train.loop, "save_file", full)
    loop.step()
    with pytest.raises(TrainingFailed, match=r"at step 1 .*No space left on device.*make room and run the same"):
        loop.save("same")
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT_FILE]
    assert (tmp_path / CHECKPOINT_FILE).read_bytes() == kept


def test_another_run_in_the_folder_is_not_gone_on_from(base: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    rows = rows_of(tokenizer, 4)
    new_loop(base, rows, tmp_path).save("one")
    with pytest.raises(InvalidInput, match="other data, base or settings; name another --out"):
        new_loop(base, rows, tmp_path).run("two", nothing)
    path = tmp_path / CHECKPOINT_FILE
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(TrainingFailed, match="not a whole checkpoint"):
        new_loop(base, rows, tmp_path).run("one", nothing)


def test_the_rate_warms_up_and_falls_to_nothing(base: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    loop = new_loop(base, rows_of(tokenizer, 4), tmp_path, steps=20)
    rates = [loop.step()["lr"] for _ in range(20)]
    assert rates[0] == pytest.approx(0.0001)
    assert max(rates) == rates[1] == pytest.approx(0.01, rel=0.01)
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] < 0.0001


def test_minutes_end_a_run_at_a_measured_checkpoint(base: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    loop = new_loop(base, rows_of(tokenizer, 4), tmp_path, steps=0, minutes=0.01)
    progress = loop.run("timed", nothing)
    assert 0.6 <= progress.seconds < 5
    assert progress.measured == [{"val_loss": 0.5}]
    assert (tmp_path / CHECKPOINT_FILE).is_file()
    # Over already: it measures and does not train on.
    again = new_loop(base, rows_of(tokenizer, 4), tmp_path, steps=0, minutes=0.01)
    assert again.run("timed", nothing).step == progress.step


def test_options_that_cannot_work_are_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="neither steps nor minutes"):
        LoopOptions()
    with pytest.raises(InvalidInput, match=r"lr -1"):
        LoopOptions(steps=1, lr=-1)
    with pytest.raises(InvalidInput, match="0 rows to train on"):
        new_loop(base, [], tmp_path)


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="only Linux tells what its processor has")
def test_bf16_only_where_the_processor_has_it() -> None:
    """oneDNN takes any AVX-512 for it and imitates it, which takes longer than no autocast."""
    with in_bf16("cpu"):
        assert torch.is_autocast_enabled("cpu") == ("avx512_bf16" in Path("/proc/cpuinfo").read_text("utf-8"))
