"""The training loop: schedule, steps, checkpoints, and going on after a kill as if nothing had happened.

OUT/checkpoint.safetensors holds the trained weights, AdamW's two moments of each, torch's random state and, in its
header, the step, the time spent and what the run was started with. It is written aside and renamed, so there is always
a whole one. OUT/metrics.jsonl gets a line a step; lines after the checkpoint gone on from are cut off.
"""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from rag.types import AnswerableError, InvalidInput
from train.batches import batch_order
from train.ranks import Ranks

CHECKPOINT_FILE = "checkpoint.safetensors"
METRICS_FILE = "metrics.jsonl"
DEVICES = ("cpu", "cuda")
_MOMENTS = ("exp_avg", "exp_avg_sq")


class Sized(Protocol):
    """A row to train on: its token ids, all of them, say how long it is."""

    @property
    def ids(self) -> Sequence[int]:
        """Token ids."""
        ...


class TrainingFailed(AnswerableError):
    """A run cannot go on: the loss is no number, or nothing more can be written. The last checkpoint is good."""

    code = "training_failed"


def in_bf16(device: str) -> torch.autocast:
    """Autocast to bf16; none on a processor without it, where it is far slower than fp32.

    (oneDNN's own word does not help: it says that bf16 is there wherever AVX-512 can imitate it.)
    """
    has_bf16 = device != "cpu" or bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    return torch.autocast(device, dtype=torch.bfloat16, enabled=has_bf16)


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """How to train. ``steps`` and ``minutes`` both end the run, 0 means no such limit; the learning rate warms up over
    the ``warmup`` share of the nearer one and falls to 0 along a cosine by its end.

    ``batch_tokens`` is the padded size of a batch, ``accumulate`` the batches of a step. ``clip`` bounds the norm of
    the gradient. ``compiled``: see train/forward.py. ``device``: "cpu" or "cuda", where a run is one process. Only a
    run on a CPU and limited by ``steps`` alone repeats to the last digit.
    """

    steps: int = 0
    minutes: float = 0.0
    seed: int = 0
    lr: float = 1e-3
    weight_decay: float = 0.0
    warmup: float = 0.03
    clip: float = 1.0
    batch_tokens: int = 3072
    accumulate: int = 1
    compiled: bool = False
    checkpoint_minutes: float = 5.0
    measure_minutes: float = 15.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.steps <= 0 and self.minutes <= 0:
            raise InvalidInput("neither steps nor minutes limit the run: give one of them")
        if self.device not in DEVICES or (self.device != "cpu" and not torch.cuda.is_available()):
            raise InvalidInput(f"device {self.device!r} is not usable here: use cpu")
        if not (self.lr > 0 and self.batch_tokens > 0 and self.accumulate > 0 and 0 <= self.warmup < 1):
            raise InvalidInput(
                f"lr {self.lr}, batch tokens {self.batch_tokens}, accumulate {self.accumulate}, warm-up {self.warmup}: "
                "use numbers above 0, and a warm-up below 1"
            )


@dataclass(slots=True)
class Progress:
    """Where a run stands: optimizer steps done, seconds spent on them over all its processes, sums of the last loss."""

    step: int = 0
    seconds: float = 0.0
    loss: float = math.nan
    tokens: int = 0
    measured: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class BatchLoss:
    """The loss of a batch, with its graph, and how many tokens (padded) and examples it is of."""

    loss: Tensor
    tokens: int
    examples: int


class BaseLoop(ABC):
    """A run in ``out``. ``identity`` is what must be the same for a checkpoint to be gone on from.

    ``measure``, called every measure_minutes and at the end, gives figures for the metrics file. ``ranks``: the
    processes that share the run; a step takes ``accumulate`` batches of each. What is learnt from is up to the two
    abstract methods.
    """

    def __init__(
        self,
        weights: Mapping[str, nn.Parameter],
        options: LoopOptions,
        out: Path,
        ranks: Ranks = Ranks(),  # noqa: B008
    ) -> None:
        if options.device != "cpu" and ranks.world > 1:
            raise InvalidInput(f"{ranks.world} processes on {options.device}: a run there is one process")
        self.weights, self.options, self.out, self.ranks = dict(weights), options, out, ranks
        self.progress = Progress()
        self._optimizer = torch.optim.AdamW(
            self.weights.values(), lr=options.lr, betas=(0.9, 0.95), weight_decay=options.weight_decay
        )
        self._orders: dict[int, list[list[int]]] = {}

    @abstractmethod
    def batches(self, seed: int) -> list[list[int]]:
        """The numbers of the rows of each batch of an epoch, in training order."""

    @abstractmethod
    def loss_of(self, numbers: list[int]) -> BatchLoss:
        """The mean loss of a batch of rows."""

    def run(self, identity: str, measure: Callable[[], dict[str, Any]]) -> Progress:
        """Train to the limit, from the checkpoint in ``out`` if there is one.

        Raises InvalidInput for a checkpoint of another run, TrainingFailed for a loss that is no number, a full disk,
        or a checkpoint that cannot be read.
        """
        self.resume(identity)
        self.ranks.wait()  # nobody writes the next checkpoint before all have read this one
        saved = measured = self.progress.seconds
        started = time.monotonic() - self.progress.seconds
        while self._share() < 1:
            self._log(self.step())
            self.progress.seconds = self.ranks.of_first(time.monotonic() - started)
            if self.progress.seconds - saved > 60 * self.options.checkpoint_minutes:
                self.save(identity)
                saved = self.progress.seconds
            if self.progress.seconds - measured > 60 * self.options.measure_minutes:
                self._measure(measure)
                self.progress.seconds = measured = self.ranks.of_first(time.monotonic() - started)
        self._measure(measure)
        self.save(identity)
        return self.progress

    def step(self) -> dict[str, Any]:
        """One optimizer step; its figures. Raises TrainingFailed, weights untouched, for a loss that is no number."""
        started = time.monotonic()
        rate = self.options.lr * _factor(self._share(), self.options.warmup)
        loss = tokens = examples = 0.0
        for turn in range(self.options.accumulate):
            batch = self.loss_of(self._batch(turn))
            part = batch.loss / self.options.accumulate
            part.backward()  # type: ignore[no-untyped-call]
            loss, tokens, examples = loss + part.item(), tokens + batch.tokens, examples + batch.examples
        self.ranks.average_gradients(self.weights.values())
        loss, tokens, examples = self.ranks.sum(loss / self.ranks.world, tokens, examples)
        norm = float(nn.utils.clip_grad_norm_(self.weights.values(), self.options.clip))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._optimizer.zero_grad()
            raise TrainingFailed(
                f"step {self.progress.step + 1}: the loss is {loss}, the norm of its gradient {norm}; the last good "
                f"checkpoint in {self.out} is kept: start again from it with a lower --lr than {self.options.lr}"
            )
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.progress.step += 1
        self.progress.loss = loss
        self.progress.tokens += int(tokens)
        speed = tokens / max(time.monotonic() - started, 1e-9)
        return {
            "loss": round(loss, 5),
            "lr": rate,
            "norm": round(norm, 4),
            "tokens": int(tokens),
            "examples": int(examples),
            "tokens_per_s": round(speed, 1),
        }

    def save(self, identity: str) -> None:
        """Write the checkpoint; the one before stays until this one is whole. Raises TrainingFailed for a full disk."""
        if not self.ranks.first:
            return
        tensors: dict[str, Tensor] = {"random": torch.get_rng_state()}
        if self.options.device != "cpu":
            tensors["random.device"] = torch.cuda.get_rng_state()
        for name, weight in self.weights.items():
            tensors[f"weight.{name}"] = weight.detach()
            state = self._optimizer.state.get(weight, {})
            tensors |= {f"{moment}.{name}": state[moment] for moment in _MOMENTS if moment in state}
        header = {"step": self.progress.step, "seconds": self.progress.seconds, "tokens": self.progress.tokens}
        unfinished = self.out / (CHECKPOINT_FILE + ".part")
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            save_file(tensors, unfinished, metadata={"progress": json.dumps(header), "identity": identity})
            unfinished.replace(self.out / CHECKPOINT_FILE)
        except (OSError, SafetensorError) as error:
            unfinished.unlink(missing_ok=True)
            raise TrainingFailed(self._unwritten(error)) from error

    def resume(self, identity: str) -> None:
        """Go on from the checkpoint in ``out``, if there is one, and cut off the metrics of the steps after it."""
        path = self.out / CHECKPOINT_FILE
        if not path.is_file():
            self._cut_metrics()
            return
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                if header.get("identity") != identity:
                    raise InvalidInput(
                        f"{path}: a run with other data, base or settings; name another --out, or remove this folder"
                    )
                self._restore(file, json.loads(header["progress"]))
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise TrainingFailed(f"{path}: not a whole checkpoint ({error}); remove it to start anew") from error
        self._cut_metrics()

    def _restore(self, file: Any, header: dict[str, Any]) -> None:
        self.progress = Progress(int(header["step"]), float(header["seconds"]), tokens=int(header["tokens"]))
        names = set(file.keys())
        torch.set_rng_state(file.get_tensor("random"))
        if "random.device" in names:
            torch.cuda.set_rng_state(file.get_tensor("random.device"))
        for name, weight in self.weights.items():
            with torch.no_grad():
                weight.copy_(file.get_tensor(f"weight.{name}"))
            if f"{_MOMENTS[0]}.{name}" in names:
                moments = {moment: file.get_tensor(f"{moment}.{name}").to(weight.device) for moment in _MOMENTS}
                self._optimizer.state[weight] = {"step": torch.tensor(float(self.progress.step)), **moments}

    def _share(self) -> float:
        """How much of the run is done, by its nearer limit; 1 and above is over."""
        by_step = self.progress.step / self.options.steps if self.options.steps > 0 else 0.0
        by_time = self.progress.seconds / (60 * self.options.minutes) if self.options.minutes > 0 else 0.0
        return max(by_step, by_time)

    def _batch(self, turn: int) -> list[int]:
        """Rows of the next batch: epoch after epoch, each in its own order; the processes take them by turns."""
        place = (self.progress.step * self.options.accumulate + turn) * self.ranks.world + self.ranks.rank
        epoch = 0
        while place >= len(self._order(epoch)):
            place -= len(self._order(epoch))
            epoch += 1
        return self._order(epoch)[place]

    def _order(self, epoch: int) -> list[list[int]]:
        if epoch not in self._orders:
            self._orders[epoch] = self.batches(self.options.seed * 1000 + epoch)
        return self._orders[epoch]

    def _measure(self, measure: Callable[[], dict[str, Any]]) -> None:
        if self.ranks.first:
            figures = measure()
            self.progress.measured.append(figures)
            self._log(figures)
        self.ranks.wait()

    def _log(self, figures: dict[str, Any]) -> None:
        if not self.ranks.first:
            return
        line = {"step": self.progress.step, "seconds": round(self.progress.seconds, 1), **figures}
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            with (self.out / METRICS_FILE).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise TrainingFailed(self._unwritten(error)) from error

    def _cut_metrics(self) -> None:
        path = self.out / METRICS_FILE
        if self.ranks.first and path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= self.progress.step]
            path.write_text("".join(kept), encoding="utf-8")

    def _unwritten(self, error: Exception) -> str:
        return (
            f"{self.out}: cannot be written at step {self.progress.step} ({error}); the checkpoint before is kept: "
            "make room and run the same command again"
        )


class RowLoop(BaseLoop):
    """A run over ``rows``, in batches of like length; a subclass says what their loss is."""

    def __init__(
        self,
        model: nn.Module,
        weights: Mapping[str, nn.Parameter],
        rows: Sequence[Sized],
        options: LoopOptions,
        out: Path,
        ranks: Ranks = Ranks(),  # noqa: B008 (frozen)
    ) -> None:
        if not rows:
            raise InvalidInput("0 rows to train on: give data files with usable questions")
        super().__init__(weights, options, out, ranks)
        self.model, self._lengths = model, [len(row.ids) for row in rows]

    def batches(self, seed: int) -> list[list[int]]:
        """See BaseLoop."""
        return batch_order(self._lengths, self.options.batch_tokens, seed)


def outcome(out: Path, progress: Progress) -> dict[str, Any]:
    """What a command prints of a run; val_loss is None and dev empty where this process did not measure."""
    last = progress.measured[-1] if progress.measured else {"val_loss": None}
    return {
        "out": str(out),
        "steps": progress.step,
        "seconds": round(progress.seconds, 1),
        "tokens": progress.tokens,
        "loss": progress.loss,
        "val_loss": last["val_loss"],
        "dev": {name: value for name, value in last.items() if name != "val_loss"},
    }


def _factor(share: float, warmup: float) -> float:
    """Learning rate over its peak: a line up from one hundredth, then half a cosine down to 0."""
    if share < warmup:
        return 0.01 + 0.99 * share / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (share - warmup) / (1 - warmup))))
