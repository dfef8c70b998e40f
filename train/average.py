"""The weighted mean of two adapters of one run's line: between a run and the one it went on from.

    python -m train.average FIRST SECOND --share 0.4 --base HOME/models/smollm2-135m --out runs/average

SHARE is what SECOND has of the mean, weight by weight. Going on training fits the training questions better and the
dev questions no better; the mean of before and after is better than both (WiSE-FT, Wortsman et al., CVPR 2022). It
holds for adapters of which one was the start of the other: strangers' factors do not match each other.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from lm.checkpoint import load
from lm.lora import adapter_weights, fingerprint, load_adapter, save_adapter
from rag.types import InvalidInput


def average(base: Path, first: Path, second: Path, share: float, out: Path) -> None:
    """Write the adapter (1 - ``share``) * ``first`` + ``share`` * ``second`` to ``out``.

    Raises InvalidInput for a share outside [0, 1] or adapters of two shapes, CheckpointMissing or CheckpointBroken as
    lm.lora.load_adapter does.
    """
    if not 0 <= share <= 1:
        raise InvalidInput(f"share {share}: give one from 0 (only the first adapter) to 1 (only the second)")
    model, other = load(base), load(base)
    base_sha256 = fingerprint(model)
    shape, second_shape = load_adapter(model, first, base_sha256), load_adapter(other, second, base_sha256)
    if shape != second_shape:
        raise InvalidInput(f"{first} has {shape}, {second} has {second_shape}; average adapters of one shape")
    theirs = adapter_weights(other)
    with torch.no_grad():
        for name, weight in adapter_weights(model).items():
            weight.lerp_(theirs[name], share)
    save_adapter(model, out, base_sha256, shape)


def main() -> None:
    """Averages the adapters of two folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, help="folder of an adapter")
    parser.add_argument("second", type=Path, help="folder of one that went on from it")
    parser.add_argument("--share", type=float, default=0.5, help="of the second in the mean, from 0 to 1")
    parser.add_argument("--base", type=Path, required=True, help="folder of the base checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    given = parser.parse_args()
    average(given.base, given.first, given.second, given.share, given.out)


if __name__ == "__main__":
    main()
