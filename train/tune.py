"""Tune the generator on question files: LoRA over the base decoder, resumable, within a time limit.

    OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=2 python -m train.tune --base MODELS/smollm2-135m \\
        --train qa/train --dev qa/dev --out runs/tune-1 --minutes 65

Run the same command again after a kill: it goes on from the last checkpoint. OMP_WAIT_POLICY matters where other
programs use the cores too: threads that spin while they wait made a step four times as slow on a busy machine. Several
processes share a run through torchrun (train/ranks.py).

OUT gets adapter_model.safetensors and adapter_config.json (at the end, and at each measurement), metrics.jsonl,
settings.json, checkpoint.safetensors, and the examples: rows.npz as tokens, recipe.json what they were made of. Base
weights run in bf16, the adapter is kept in fp32. The dev files are only measured on, and what they hold is taken out
of the training files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch

from lm.checkpoint import load
from lm.lora import WEIGHTS_FILE, LoraShape, adapter_weights, add_adapters, fingerprint, load_adapter, save_adapter
from lm.model import Decoder
from lm.tokenizer import Tokenizer
from rag.types import InvalidInput
from train.batches import Row, collate, load_rows, pack_groups, save_rows
from train.decoder_loop import DecoderLoop
from train.forward import packed_logits, weighted_loss
from train.loop import DEVICES, LoopOptions, TrainingFailed, outcome
from train.measure import DevRow, answer_all, dev_sample, score
from train.ranks import Ranks, join, leave
from train.recipes import make_groups

DEV_SIZES = {"nq_oracle": 56, "squad2": 64, "boolq": 32}
ROWS_FILE, REPORT_FILE, SETTINGS_FILE = "rows.npz", "recipe.json", "settings.json"
HELD_OUT = 16  # groups whose loss is measured and never trained on

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """What to tune, on what, and how. ``longest`` is the most tokens of a row (passages and their questions).

    ``start``: folder of an adapter on the same base, of the same shape, to go on from (None: a fresh one).
    """

    base: Path
    train: Path
    dev: Path
    out: Path
    loop: LoopOptions
    lora: LoraShape = field(default_factory=LoraShape)
    longest: int = 1152
    start: Path | None = None


def tune(options: TuneOptions) -> dict[str, Any]:
    """Tune, or go on tuning, and return {out, steps, seconds, tokens, loss, val_loss, dev}.

    Of several processes the first measures; to the others val_loss is None and dev empty.

    Raises CheckpointMissing or CheckpointBroken for the base, InvalidInput for the data or a folder that holds another
    run, TrainingFailed where the run cannot go on.
    """
    ranks = join()
    try:
        return _tune(options, ranks)
    finally:
        leave(ranks)


def _tune(options: TuneOptions, ranks: Ranks) -> dict[str, Any]:
    tokenizer = Tokenizer.load(options.base)
    model = load(options.base)
    base_sha256 = fingerprint(model)
    if not ranks.first:
        ranks.wait()  # the first one writes the rows that all read
    rows = _rows(options, tokenizer)
    if ranks.first:
        ranks.wait()
    model = model.bfloat16()
    _adapt(model, options, base_sha256)
    model.to(options.loop.device)
    model.tie()
    sample = dev_sample(options.dev, tokenizer, DEV_SIZES)
    loop = DecoderLoop(model, adapter_weights(model), rows[HELD_OUT:], options.loop, options.out, ranks)
    settings = {"loop": asdict(options.loop), "lora": asdict(options.lora), "base_sha256": base_sha256}
    if ranks.first:
        _write(options.out, SETTINGS_FILE, json.dumps(settings, indent=1) + "\n")

    def measure() -> dict[str, Any]:
        save_adapter(model, options.out, base_sha256, options.lora)
        figures = {"val_loss": held_out_loss(model, rows[:HELD_OUT]), **asdict(measure_dev(model, sample, tokenizer))}
        log.info("step %d: %s", loop.progress.step, json.dumps(figures))
        return figures

    log.info("%d rows of %d tokens", len(rows), sum(len(row.ids) for row in rows))
    progress = loop.run(_identity(options, base_sha256, rows, ranks.world), measure)
    return outcome(options.out, progress)


def _adapt(model: Decoder, options: TuneOptions, base_sha256: str) -> None:
    if options.start is None:
        try:
            add_adapters(model, options.lora, options.loop.seed)
        except ValueError as error:
            raise InvalidInput(str(error)) from error
    elif (found := load_adapter(model, options.start, base_sha256)) != options.lora:
        raise InvalidInput(f"{options.start}: an adapter of {found}, asked for {options.lora}; ask for its own shape")


@torch.inference_mode()
def held_out_loss(model: Decoder, rows: list[Row]) -> float:
    """Mean loss, in nats a token by weight, over rows taken one by one."""
    batches = [collate([row]).to(str(model.lm_head.weight.device)) for row in rows]
    losses = [float(weighted_loss(packed_logits(model, batch), batch)) for batch in batches]
    return round(sum(losses) / len(losses), 5)


def measure_dev(model: Decoder, sample: list[DevRow], tokenizer: Tokenizer) -> Any:
    """Scores of greedy answers to the sample."""
    return score(sample, answer_all(model, [one.prompt for one in sample], tokenizer))


def _rows(options: TuneOptions, tokenizer: Tokenizer) -> list[Row]:
    """The rows of the run, from its folder once they are there: going on must not hang on code or data of today."""
    kept = options.out / ROWS_FILE
    if kept.is_file():
        try:
            return load_rows(kept)
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise TrainingFailed(f"{kept}: not the rows of a run ({error!r}); remove it to make them anew") from error
    groups, report = make_groups(options.train, options.dev, options.loop.seed)
    rows = list(pack_groups(groups, tokenizer, options.longest))
    report |= {"rows": len(rows), "tokens": sum(len(row.ids) for row in rows)}
    log.info("examples: %s", json.dumps(report))
    _write(options.out, REPORT_FILE, json.dumps(report, indent=1) + "\n")
    try:
        save_rows(rows, kept)
    except OSError as error:
        raise TrainingFailed(f"{kept}: cannot be written ({error}); make room and start again") from error
    return load_rows(kept)  # weights as the file keeps them: the same run whether it makes or finds its rows


def _write(folder: Path, name: str, text: str) -> None:
    unfinished = folder / f"{name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(folder / name)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise TrainingFailed(f"{folder / name}: cannot be written ({error}); make room and start again") from error


def _identity(options: TuneOptions, base_sha256: str, rows: list[Row], world: int) -> str:
    """A hash of all that decides the course of a run; how long it lasts and how often it is looked at do not."""
    settings = {**asdict(options.loop), "lora": asdict(options.lora), "base": base_sha256}
    if world > 1:
        settings["world"] = world
    if options.start is not None:
        settings["start"] = hashlib.sha256((options.start / WEIGHTS_FILE).read_bytes()).hexdigest()
    for name in ("minutes", "checkpoint_minutes", "measure_minutes"):
        del settings[name]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for row in rows:
        digest.update(repr((row.ids, row.learnt)).encode())
    return digest.hexdigest()


def option_parser(prog: str | None = None, base: Path | None = None) -> argparse.ArgumentParser:
    """The options of a command line; ``base`` is the default of --base, which has to be given otherwise."""
    parser = argparse.ArgumentParser(prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, text in (
        ("base", "folder of the base checkpoint"),
        ("train", "folder of question files to train on"),
        ("dev", "folder of question files to measure on, never trained on"),
        ("out", "folder of the run"),
    ):
        default = base if name == "base" else None
        parser.add_argument(f"--{name}", type=Path, required=default is None, default=default, help=text)
    parser.add_argument("--minutes", type=float, default=65.0, help="time limit (0: none)")
    parser.add_argument("--steps", type=int, default=0, help="limit in optimizer steps (0: none)")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--alpha", type=float, default=32.0)
    # Not "--start": torchrun takes that for an option of its own, wherever it stands.
    parser.add_argument("--adapter", type=Path, help="folder of an adapter of the same base and shape to go on from")
    parser.add_argument("--compile", action="store_true", help="compile the layers: faster after two minutes")
    parser.add_argument("--first-layer", type=int, default=0, help="lowest layer that is trained")
    parser.add_argument("--batch-tokens", type=int, default=3072)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measure-minutes", type=float, default=15.0)
    parser.add_argument("--device", choices=DEVICES, default=DEVICES[0])
    return parser


def to_options(given: argparse.Namespace) -> TuneOptions:
    """What the parsed options say. Raises InvalidInput for values that no run can have."""
    loop = LoopOptions(
        steps=given.steps,
        minutes=given.minutes,
        seed=given.seed,
        lr=given.lr,
        batch_tokens=given.batch_tokens,
        accumulate=given.accumulate,
        compiled=given.compile,
        measure_minutes=given.measure_minutes,
        device=given.device,
    )
    try:
        lora = LoraShape(given.rank, given.alpha, given.first_layer)
    except ValueError as error:
        raise InvalidInput(str(error)) from error
    return TuneOptions(given.base, given.train, given.dev, given.out, loop, lora, start=given.adapter)


def read_options(arguments: list[str]) -> TuneOptions:
    """The options of a command line."""
    return to_options(option_parser().parse_args(arguments))


def main() -> None:
    """Tunes, and the first process prints the result as JSON."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    result = tune(read_options(sys.argv[1:]))
    if result["val_loss"] is not None:
        sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
