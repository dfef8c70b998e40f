"""Training runs as a picture: the loss step by step, and what was measured on the way.

    python -m train.plot RUN... --out docs/images/tuning.png        RUN: a folder that train/tune.py wrote

Needs matplotlib (extra `dev`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.types import InvalidInput
from train.loop import METRICS_FILE

_MEASURED = ("f1", "em", "refusal_f1")
_SMOOTHING = 0.95  # of the running mean that the loss is drawn as


@dataclass(frozen=True, slots=True)
class Curves:
    """A run's name; (tokens seen, loss) by step; and (tokens seen, figures) where it was measured."""

    name: str
    losses: tuple[tuple[int, float], ...]
    measured: tuple[tuple[int, dict[str, Any]], ...]


def read_curves(run: Path) -> Curves:
    """The curves of a run's folder. Raises InvalidInput where it holds no metrics or lines that are not of a run."""
    path = run / METRICS_FILE
    losses: list[tuple[int, float]] = []
    measured: list[tuple[int, dict[str, Any]]] = []
    tokens = 0
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            figures = json.loads(line)
            if "loss" in figures:
                tokens += figures["tokens"]
                losses.append((tokens, figures["loss"]))
            else:
                measured.append((tokens, {name: figures[name] for name in _MEASURED}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path}: not the metrics of a run ({error!r}); name a folder of train.tune") from error
    return Curves(run.name, tuple(losses), tuple(measured))


def smoothed(values: Sequence[float]) -> list[float]:
    """Running mean that forgets exponentially, without the pull of its start (as Adam corrects its moments)."""
    means: list[float] = []
    mean = 0.0
    for count, value in enumerate(values, start=1):
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * value
        means.append(mean / (1 - _SMOOTHING**count))
    return means


def draw(runs: Sequence[Curves], out: Path) -> None:
    """Write the picture: losses on the left, measured figures on the right, over tokens seen."""
    from matplotlib.figure import Figure  # half a second, and only drawing needs it

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for run in runs:
        left.plot(
            [tokens / 1e6 for tokens, _ in run.losses], smoothed([loss for _, loss in run.losses]), label=run.name
        )
        for name in _MEASURED:
            seen = [tokens / 1e6 for tokens, _ in run.measured]
            right.plot(seen, [figures[name] for _, figures in run.measured], marker="o", label=f"{run.name} {name}")
    left.set(xlabel="million tokens", ylabel="loss, nats a token (running mean)")
    right.set(xlabel="million tokens", ylabel="dev sample", ylim=(0, 1))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.savefig(out, dpi=100)


def main() -> None:
    """Draws the runs named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="picture to write; its suffix says of what kind")
    options = parser.parse_args()
    draw([read_curves(run) for run in options.runs], options.out)


if __name__ == "__main__":
    main()
