"""What the trainings of the reader and of the verifier share: options, rows kept in the run's folder, loop, result.

    OUT/rows.safetensors, recipe.json   the rows as tokens, and what they were made of
    OUT/checkpoint.safetensors, metrics.jsonl, settings.json      as in train/loop.py
    OUT/model/weights.safetensors, pair.json      the model of the last measurement, ready to be copied to models/

bf16 autocast where the device computes in it, weights and AdamW in fp32. Two processes of one thread each share a run
through torchrun (train/ranks.py), which on two cores is faster than one process of two threads.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from lm.pair_encoder import PairEncoder, from_base, load_compact, save_compact
from rag.pair_model import CARD_FILE, PAIR_WEIGHTS, PairCard
from rag.pair_tokens import Pair
from train.encoder_rows import EncoderBatch, EncoderRows, bucketed
from train.loop import DEVICES, BaseLoop, BatchLoss, LoopOptions, TrainingFailed, in_bf16
from train.ranks import Ranks, join, leave

ROWS_FILE, REPORT_FILE, SETTINGS_FILE, MODEL_FOLDER = "rows.safetensors", "recipe.json", "settings.json", "model"
PEAK_RATE = 1.5e-4
_EVAL_TOKENS = 8192

log = logging.getLogger(__name__)

Outputs = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Which base to start from, which data, where to. ``start``: weights of an earlier run to go on from (or None)."""

    base: Path
    data: Path
    out: Path
    loop: LoopOptions
    start: Path | None = None
    layers: int = 0  # of the encoder, twice what the base has, say; 0: as many
    without: tuple[str, ...] = ()  # parts of the rows to leave out, to see what each is worth


@dataclass(frozen=True, slots=True)
class Job:
    """What one kind of training brings: its head, how rows are made and learnt, and how it is measured.

    ``make_rows`` also reports what the rows were made of. ``measure`` gets a function from rows to the model's
    outputs, and gives figures and the calibration for the card.
    """

    name: str
    head: str
    max_tokens: int
    make_rows: Callable[[], tuple[EncoderRows, dict[str, Any]]]
    loss: Callable[[Outputs, EncoderBatch], Tensor]
    measure: Callable[[TorchRuns], tuple[dict[str, Any], dict[str, float]]]


class TorchRuns:
    """Runs rows through a model in training, as rag/pair_model.py does when serving."""

    def __init__(self, model: PairEncoder) -> None:
        self._model = model

    @torch.inference_mode()
    def run(self, pairs: Sequence[Pair]) -> list[tuple[Any, ...]]:
        """For each pair its outputs, numpy, cut to its own length."""
        if not pairs:
            return []
        self._model.eval()
        rows = EncoderRows.pack([(pair, (0,), 1.0) for pair in pairs])
        found: list[tuple[Any, ...]] = [()] * len(pairs)
        for numbers in bucketed(rows.lengths(), _EVAL_TOKENS, 0):
            outputs = forward(self._model, rows.batch(numbers))
            arrays = [out.cpu().numpy() for out in outputs]
            for place, number in enumerate(numbers):
                length = len(pairs[number])
                found[number] = tuple(
                    out[place] if self._model.head == "check" and turn == 0 else out[place, :length]
                    for turn, out in enumerate(arrays)
                )
        return found


class EncoderLoop(BaseLoop):
    """A run of a pair encoder over flat rows."""

    def __init__(self, model: PairEncoder, rows: EncoderRows, job: Job, options: RunOptions, ranks: Ranks) -> None:
        super().__init__(dict(model.named_parameters()), options.loop, options.out, ranks)
        self._model, self._rows, self._loss = model, rows, job.loss
        self._lengths = rows.lengths()

    def batches(self, seed: int) -> list[list[int]]:
        """See BaseLoop."""
        return bucketed(self._lengths, self.options.batch_tokens, seed)

    def loss_of(self, numbers: list[int]) -> BatchLoss:
        """See BaseLoop."""
        self._model.train()
        batch = self._rows.batch(numbers).to(self.options.device)
        return BatchLoss(self._loss(forward(self._model, batch), batch), batch.ids.numel(), len(numbers))


def forward(model: PairEncoder, batch: EncoderBatch) -> Outputs:
    """The outputs of a batch, under bf16 autocast where there is bf16, fp32."""
    device = model.token.weight.device.type
    batch = batch.to(device)
    with in_bf16(device):
        outputs: Outputs = model(batch.ids, batch.mask, batch.types)
    return outputs


def train(job: Job, options: RunOptions) -> dict[str, Any]:
    """Train, or go on, and return {out, steps, seconds, tokens, loss, val_loss, dev}; dev holds the last figures.

    Raises CheckpointMissing or CheckpointBroken for the base, InvalidInput for data or a folder of another run,
    TrainingFailed where the run cannot go on.
    """
    ranks = join()
    try:
        return _train(job, options, ranks)
    finally:
        leave(ranks)


def _train(job: Job, options: RunOptions, ranks: Ranks) -> dict[str, Any]:
    torch.manual_seed(options.loop.seed)
    model = from_base(options.base, job.head, options.layers)
    if options.start is not None:
        model.load_state_dict(load_compact(options.start).state_dict())
    if options.loop.device == "cpu":
        model.bert.set_attn_implementation("eager")  # a quarter faster to train there than the fused one
    model.to(options.loop.device)
    torch.manual_seed(options.loop.seed + ranks.rank)  # each process drops other units
    if not ranks.first:
        ranks.wait()  # the first one writes the rows that all read
    rows = _rows(job, options.out)
    if ranks.first:
        ranks.wait()
        settings = {name: str(value) for name, value in asdict(options).items() if name != "loop"}
        write_text(options.out / SETTINGS_FILE, json.dumps({**settings, "loop": asdict(options.loop)}, indent=1) + "\n")
    loop = EncoderLoop(model, rows, job, options, ranks)

    def measure() -> dict[str, Any]:
        figures, calibration = job.measure(TorchRuns(model))
        _save_model(model, options.out / MODEL_FOLDER, PairCard(job.name, job.head, job.max_tokens, calibration))
        log.info("step %d: %s", loop.progress.step, json.dumps(figures))
        return figures

    log.info("%d rows of %d tokens", len(rows), int(rows.starts[-1]))
    progress = loop.run(_identity(job, options, rows, ranks.world), measure)
    return {
        "out": str(options.out),
        "steps": progress.step,
        "seconds": round(progress.seconds, 1),
        "tokens": progress.tokens,
        "loss": progress.loss,
        "val_loss": progress.measured[-1]["val_loss"] if ranks.first else None,
        "dev": progress.measured[-1] if ranks.first else {},
    }


def _rows(job: Job, out: Path) -> EncoderRows:
    """The rows of the run, from its folder once they are there: going on must not hang on code or data of today."""
    kept = out / ROWS_FILE
    if not kept.is_file():
        rows, report = job.make_rows()
        report |= {"rows": len(rows), "tokens": int(rows.starts[-1])}
        log.info("rows: %s", json.dumps(report))
        write_text(out / REPORT_FILE, json.dumps(report, indent=1) + "\n")
        rows.save(kept)
    return EncoderRows.load(kept)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all. Raises TrainingFailed for a full disk."""
    unfinished = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise TrainingFailed(f"{path}: cannot be written ({error}); make room and start again") from error


def _save_model(model: PairEncoder, folder: Path, card: PairCard) -> None:
    try:
        save_compact(model, folder / PAIR_WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise TrainingFailed(f"{folder / PAIR_WEIGHTS}: cannot be written ({error}); make room") from error
    write_text(folder / CARD_FILE, json.dumps(asdict(card), indent=1) + "\n")


def _identity(job: Job, options: RunOptions, rows: EncoderRows, world: int) -> str:
    """A hash of all that decides the course of a run; how long it lasts and how often it is looked at do not."""
    settings = {**asdict(options.loop), "head": job.head, "layers": options.layers, "world": world}
    for name in ("minutes", "checkpoint_minutes", "measure_minutes"):
        del settings[name]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in (options.base / "model.safetensors", options.start):
        if path is not None:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    for array in (rows.ids, rows.targets, rows.weights):
        digest.update(array.tobytes())
    return digest.hexdigest()


def option_parser(
    description: str | None, prog: str | None = None, base: Path | None = None
) -> argparse.ArgumentParser:
    """The options that both trainings take; ``base`` is the default of --base, which has to be given otherwise."""
    parser = argparse.ArgumentParser(
        prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, required=base is None, default=base, help="folder of minilm-l6")
    parser.add_argument("--data", type=Path, required=True, help="folder with qa/ and claims/, each train/ and dev/")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--minutes", type=float, default=120.0, help="time limit (0: none)")
    parser.add_argument("--steps", type=int, default=0, help="limit in optimizer steps (0: none)")
    parser.add_argument("--lr", type=float, default=PEAK_RATE)
    parser.add_argument("--batch-tokens", type=int, default=3072, help="padded tokens of a batch of one process")
    parser.add_argument("--accumulate", type=int, default=2, help="batches of a step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measure-minutes", type=float, default=15.0)
    parser.add_argument("--device", choices=DEVICES, default=DEVICES[0])
    # Not "--start": torchrun takes that for an option of its own, wherever it stands.
    parser.add_argument("--weights", type=Path, help="weights.safetensors of an earlier run to go on from")
    parser.add_argument(
        "--layers", type=int, default=0, help="layers of the encoder, a multiple of the base's (0: those)"
    )
    parser.add_argument("--without", nargs="+", default=(), help="parts of the rows to leave out, to see their worth")
    parser.add_argument("--most", type=int, default=0, help="most rows of a source, for try-outs (0: the recipe's)")
    return parser


def run(description: str | None, make_job: Callable[[RunOptions, int], Job]) -> None:
    """A command: trains by its options, and the first process prints the result as JSON."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    given = option_parser(description).parse_args(sys.argv[1:])
    options = to_options(given)
    result = train(make_job(options, given.most), options)
    if result["dev"]:
        sys.stdout.write(json.dumps(result) + "\n")


def to_options(given: argparse.Namespace) -> RunOptions:
    """What the parsed options say. Raises InvalidInput for values that no run can have."""
    loop = LoopOptions(
        steps=given.steps,
        minutes=given.minutes,
        seed=given.seed,
        lr=given.lr,
        weight_decay=0.01,
        warmup=0.06,
        batch_tokens=given.batch_tokens,
        accumulate=given.accumulate,
        measure_minutes=given.measure_minutes,
        device=given.device,
    )
    return RunOptions(given.base, given.data, given.out, loop, given.weights, given.layers, tuple(given.without))
