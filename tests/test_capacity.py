"""The queue and the fleet of benchmarks/capacity*.py against results that are known or worked out by hand."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.capacity_measure import Asked, Measured
from benchmarks.capacity_model import Load, Machine, Prices, plan, scanned, slope, vectors_s, words_s
from benchmarks.capacity_queue import Server, arrivals, simulate

ASKED = Asked(find=0.2, write=0.5, check=0.1, prompt_tokens=450, completion_tokens=50)
MEASURED = Measured(
    chunks=1000,
    ingest_s_a_chunk=0.01,
    row_bytes_a_chunk=3000.0,
    asked=(ASKED,),
    bm25=((1000, 0.001), (11_000, 0.011)),
    dense=((1000, 0.004), (11_000, 0.005)),
    server_bytes=10**9,
)


def test_a_single_answer_takes_what_it_needs_and_two_share() -> None:
    assert simulate(Server(1.0), [0.0], [2.0]).times == (2.0,)
    assert simulate(Server(2.0), [0.0, 0.0], [2.0, 2.0]).times == pytest.approx((2.0, 2.0))
    assert simulate(Server(1.0), [0.0, 0.0], [1.0, 2.0]).times == pytest.approx((2.0, 3.0))
    assert simulate(Server(2.0, width=2.0), [0.0], [2.0]).times == pytest.approx((1.0,))


def test_who_finds_no_place_waits_or_is_turned_away() -> None:
    one = Server(1.0, at_once=1, most_waiting=1)
    outcome = simulate(one, [0.0, 0.1, 0.2], [1.0, 1.0, 1.0])
    assert outcome.times == pytest.approx((1.0, 1.9)) and outcome.refused == 1


@pytest.mark.parametrize("load", [0.3, 0.6])
def test_the_mean_is_that_of_the_theory(load: float) -> None:
    """M/G/1 with processor sharing: the mean time is s / (1 - load), whatever the distribution (Kleinrock 1976)."""
    count, draw = 40_000, random.Random(1)
    demands = [0.2 if draw.random() < 0.5 else draw.expovariate(1 / 1.8) for _ in range(count)]
    mean = float(np.mean(demands))
    times = arrivals(load / mean, count, seed=2)
    outcome = simulate(Server(1.0, at_once=10_000), times, demands)
    assert np.mean(outcome.times) == pytest.approx(mean / (1 - load), rel=0.08)
    alone = simulate(Server(1.0, at_once=1, most_waiting=10_000), times, demands)
    second = float(np.mean(np.square(demands)))  # M/G/1 first come first served: Pollaczek and Khinchine
    assert np.mean(alone.times) == pytest.approx(mean + load / mean * second / 2 / (1 - load), rel=0.1)


def test_costs_grow_with_the_chunks_as_measured() -> None:
    assert slope(MEASURED.bm25) == pytest.approx((0.0, 1e-6))
    assert words_s(MEASURED, 1e6) == pytest.approx(1.0)
    assert slope(((10, 5.0), (20, 4.0)))[1] == 0.0  # noise never makes more chunks cheaper
    assert scanned(1e6) == pytest.approx(4000 + 1e6 * round(2 * math.sqrt(4000)) / 4000)
    assert vectors_s(MEASURED, 1e6) == pytest.approx(1e-7 * scanned(1e6))


def test_a_fleet_worked_out_by_hand() -> None:
    machine = Machine(cores=10, memory=100e9, disk=1e12, use=0.5)
    made = plan(MEASURED, Load(10e6, 100, days=1), machine, Prices(1, 0, 0, 0))
    find, write, embed, rows, vectors = made.parts
    assert find.cores == pytest.approx(30) and find.machines == 6 and find.memory == 6e9
    assert write.cores == pytest.approx(50) and write.machines == 10
    assert embed.cores == pytest.approx(1e5 / 86_400) and embed.machines == 1
    assert rows.cores == pytest.approx(100 * 10.0) and rows.machines == 200 and rows.disk == 6e10
    assert vectors.memory == 4e9
    assert made.first == "rows and words"
    assert made.month == pytest.approx((6 + 10 + 1 + 200 + vectors.machines) * 10 * 730)


def test_what_changes_the_fleet() -> None:
    load = Load(1e9, 1000)
    whole = plan(MEASURED, load, Machine(), Prices())
    many = plan(MEASURED, replace(load, collections=1000), Machine(), Prices())
    assert many.parts[3].machines < whole.parts[3].machines / 100  # a search of one collection reads its postings alone
    cards = plan(MEASURED, replace(load, gpu_tokens_s=50_000), Machine(), Prices())
    assert cards.parts[1].gpus == math.ceil(1000 * 500 / 50_000 / 0.6) and cards.parts[1].machines == 0
    later = plan(MEASURED, replace(load, chunks=10e9), Machine(), Prices())
    assert later.parts[4].memory == 10e9 * 72
