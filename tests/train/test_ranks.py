"""Two processes at one run end where one process with twice the batches a step does."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import torch
from torch.multiprocessing.spawn import spawn

from lm.tokenizer import Tokenizer
from tests.train.test_loop import losses, new_loop, nothing, rows_of
from train.loop import CHECKPOINT_FILE
from train.ranks import Ranks, join, leave

STEPS = 4


def worker(rank: int, port: int, base: Path, out: Path) -> None:
    """One process of two, started as torchrun would."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    ranks = join()
    loop = new_loop(base, rows_of(Tokenizer.load(base), 10), out, steps=STEPS)
    loop.ranks = ranks
    loop.run("shared", nothing)
    torch.save({name: weight.detach() for name, weight in loop.weights.items()}, out / f"{rank}.pt")
    leave(ranks)


def test_two_processes_are_one_with_twice_the_batches(base: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    alone = new_loop(base, rows_of(tokenizer, 10), tmp_path / "alone", steps=STEPS, accumulate=2)
    alone.run("alone", nothing)
    out = tmp_path / "shared"
    out.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(worker, (port, base, out), nprocs=2)  # type: ignore[no-untyped-call]
    first, second = (torch.load(out / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    for name, weight in alone.weights.items():
        assert torch.equal(first[name], second[name]), name
        # Adam divides by the gradient's size, so that the least of them carry their rounding into the weights.
        torch.testing.assert_close(first[name], weight.detach(), atol=2e-3, rtol=0)
    mine, theirs = losses(tmp_path / "alone"), losses(out)
    assert [step for step, _ in theirs] == [step for step, _ in mine]  # written once, not by both
    torch.testing.assert_close([loss for _, loss in theirs], [loss for _, loss in mine], atol=1e-3, rtol=0)
    assert (out / CHECKPOINT_FILE).is_file()


def test_alone_nothing_is_shared() -> None:
    ranks = join()
    assert ranks == Ranks(0, 1) and ranks.first
    assert ranks.sum(1.5, 2.0) == (1.5, 2.0)
    assert ranks.of_first(3.0) == 3.0
    ranks.wait()
    leave(ranks)
