"""A server as a queue: questions come at random, some are answered at once, the others wait, all share the cores.

Processor sharing (Kleinrock, Queueing Systems II, 1976) over measured demands: each answer being made gets an equal
part of the cores, at most one core's worth times ``width``, which is what a single answer can use.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Server:
    """``cores`` that answer ``at_once`` questions side by side while ``most_waiting`` may wait; see `width` above."""

    cores: float
    at_once: int = 8
    most_waiting: int = 32
    width: float = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds from coming to leaving of the questions that were answered, in order of leaving; those turned away."""

    times: tuple[float, ...]
    refused: int


def arrivals(rate: float, count: int, seed: int) -> list[float]:
    """``count`` times of a Poisson process of ``rate`` a second."""
    draw, now, times = random.Random(seed), 0.0, []
    for _ in range(count):
        now += draw.expovariate(rate)
        times.append(now)
    return times


def simulate(server: Server, times: Sequence[float], demands: Sequence[float]) -> Outcome:
    """Question i comes at ``times[i]`` (rising, seconds) and needs ``demands[i]`` core-seconds."""
    coming, waiting = deque(zip(times, demands, strict=True)), deque[tuple[float, float]]()
    running: list[list[float]] = []  # [came, core-seconds left]
    done: list[float] = []
    now, refused = 0.0, 0
    while coming or running:
        speed = min(server.width, server.cores / len(running)) if running else 0.0
        ends = now + min(left for _, left in running) / speed if running else float("inf")
        comes = coming[0][0] if coming else float("inf")
        step = min(ends, comes)
        for one in running:
            one[1] -= (step - now) * speed
        now = step
        if comes <= ends:
            came = coming.popleft()
            if len(running) < server.at_once:
                running.append(list(came))
            elif len(waiting) < server.most_waiting:
                waiting.append(came)
            else:
                refused += 1
            continue
        for one in [one for one in running if one[1] <= 1e-9]:
            running.remove(one)
            done.append(now - one[0])
            if waiting:
                running.append(list(waiting.popleft()))
    return Outcome(tuple(done), refused)
