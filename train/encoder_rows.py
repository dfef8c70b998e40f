"""Rows for the pair encoders, in flat arrays: hundreds of thousands of rows take a few bytes a token, and one file.

ids      every token of every row, one after the other          starts   (N + 1,) where each row begins in it
claim, second   (N,) places of the claim's and of the passage's first token (rag/pair_tokens.py)
targets  (N, K) what is to be learnt, of which only the loss knows the meaning      weights  (N,)
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from torch import Tensor

from rag.pair_tokens import Pair
from train.loop import TrainingFailed

_LENGTH_STEP = 16  # few shapes of batches, so that the kernels made for each are used again
_POOL = 2048  # rows sorted by length together


@dataclass(frozen=True, slots=True)
class EncoderBatch:
    """Rows side by side, padded on the right: ids, mask and types (B, T), targets (B, K), weights (B,)."""

    ids: Tensor
    mask: Tensor
    types: Tensor
    claim: Tensor
    second: Tensor
    targets: Tensor
    weights: Tensor

    def to(self, device: str) -> EncoderBatch:
        """The batch on ``device``."""
        return EncoderBatch(*(getattr(self, name).to(device) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class EncoderRows:
    """See the head of this file. N rows; ids are below 65,536."""

    ids: NDArray[np.uint16]
    starts: NDArray[np.int64]
    claim: NDArray[np.int32]
    second: NDArray[np.int32]
    targets: NDArray[np.int32]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.weights)

    @classmethod
    def pack(cls, rows: Sequence[tuple[Pair, tuple[int, ...], float]]) -> EncoderRows:
        """From (row, targets, weight); all targets of one length."""
        lengths = [len(pair) for pair, _, _ in rows]
        return cls(
            np.concatenate([pair.ids for pair, _, _ in rows]).astype(np.uint16),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.array([pair.claim_at for pair, _, _ in rows], dtype=np.int32),
            np.array([pair.second_at for pair, _, _ in rows], dtype=np.int32),
            np.array([targets for _, targets, _ in rows], dtype=np.int32),
            np.array([weight for _, _, weight in rows], dtype=np.float32),
        )

    def save(self, path: Path) -> None:
        """Write to one file, through one beside it. Raises TrainingFailed for a full disk."""
        unfinished = path.with_name(path.name + ".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({name: getattr(self, name) for name in self.__slots__}, unfinished)
            unfinished.replace(path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise TrainingFailed(f"{path}: cannot be written ({error}); make room and start again") from error

    @classmethod
    def load(cls, path: Path) -> EncoderRows:
        """What `save` wrote. Raises TrainingFailed for anything else."""
        try:
            return cls(**load_file(path))
        except Exception as error:  # safetensors raises its own kinds for each way a file can be broken
            raise TrainingFailed(f"{path}: not the rows of a run ({error!r}); remove it to make them anew") from error

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row, (N,)."""
        return np.diff(self.starts)

    def batch(self, numbers: Sequence[int]) -> EncoderBatch:
        """The rows of these numbers."""
        rows = [self.ids[self.starts[number] : self.starts[number + 1]].astype(np.int64) for number in numbers]
        width = -(-max(map(len, rows)) // _LENGTH_STEP) * _LENGTH_STEP
        ids = np.zeros((len(rows), width), dtype=np.int64)  # (B, T)
        mask, types = np.zeros_like(ids), np.zeros_like(ids)  # (B, T)
        for place, (number, row) in enumerate(zip(numbers, rows, strict=True)):
            ids[place, : len(row)] = row
            mask[place, : len(row)] = 1
            types[place, self.second[number] : len(row)] = 1
        chosen = np.array(numbers)
        return EncoderBatch(
            ids=torch.from_numpy(ids),
            mask=torch.from_numpy(mask),
            types=torch.from_numpy(types),
            claim=torch.from_numpy(self.claim[chosen].astype(np.int64)),
            second=torch.from_numpy(self.second[chosen].astype(np.int64)),
            targets=torch.from_numpy(self.targets[chosen].astype(np.int64)),
            weights=torch.from_numpy(self.weights[chosen]),
        )


def bucketed(lengths: NDArray[np.int64], budget: int, seed: int) -> list[list[int]]:
    """Row numbers by batch in training order: another draw for every seed, rows of like length together.

    Rows times the longest row of a batch is at most ``budget`` tokens; a longer row is a batch of its own.
    """
    order = np.random.default_rng(seed).permutation(len(lengths))
    batches: list[list[int]] = []
    for start in range(0, len(order), _POOL):
        pool = order[start : start + _POOL]
        batch: list[int] = []
        for row in pool[np.argsort(lengths[pool], kind="stable")].tolist():
            if batch and int(lengths[row]) * (len(batch) + 1) > budget:
                batches.append(batch)
                batch = []
            batch.append(row)
        batches.append(batch)
    random.Random(seed).shuffle(batches)
    return batches
