"""Several processes at one training run, as torchrun starts them: each takes its share of every step's batches.

    torchrun --nproc-per-node 2 -m train.tune ...       the run of one process with --accumulate twice as large

Gradients are averaged after every step, so that all processes keep the same weights; the first one measures and writes,
all read. The folder of the run must be seen by all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process's number, from 0, and how many there are. The methods do nothing where it is alone."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that measures and writes."""
        return self.rank == 0

    def average_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its mean over the processes; the weights must be in one order everywhere."""
        if self.world > 1:
            for weight in weights:
                if weight.grad is not None:
                    dist.all_reduce(weight.grad)
                    weight.grad /= self.world

    def sum(self, *values: float) -> tuple[float, ...]:
        """The sums of each value over the processes."""
        if self.world == 1:
            return values
        totals = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(totals)
        return tuple(totals.tolist())

    def of_first(self, value: float) -> float:
        """The first process's value: clocks differ, and all must stop at the same step."""
        if self.world == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(shared, src=0)
        return float(shared)

    def wait(self) -> None:
        """Return once every process has come here."""
        if self.world > 1:
            dist.barrier()


def join() -> Ranks:
    """This process's place among those that torchrun started, by its environment variables; alone without them."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Ranks()
    dist.init_process_group("gloo")
    return Ranks(dist.get_rank(), world)


def leave(ranks: Ranks) -> None:
    """End what `join` began."""
    if ranks.world > 1:
        dist.destroy_process_group()
