"""How sure a figure is: bootstrap intervals of one run, and paired tests between two runs of the same questions.

interval    percentile bootstrap over questions (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13)
paired      the difference of two runs, its percentile bootstrap interval over pairs, and the p-value of the
            approximate randomisation test (Noreen, Computer Intensive Methods for Testing Hypotheses, 1989; for
            retrieval and answers Smucker, Allan & Carterette, CIKM 2007): which run a question's row came from is
            swapped at random, and p is the share of shuffles whose difference is at least as large, the actual one
            included
holm        p-values corrected for the number of figures tested (Holm, Scandinavian Journal of Statistics 6, 1979)

Everything is a function of rows and seed. Means are resampled by sums of columns, other figures computed again for
each sample, of which there are fewer for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from eval.measures import Measure

Item = TypeVar("Item")
Numbers = NDArray[np.float64]

LEVEL = 0.95
MEAN_SAMPLES = 9999
WHOLE_SAMPLES = 499
_BLOCK = 2_000_000  # numbers held at once


@dataclass(frozen=True, slots=True)
class Interval:
    """The middle 95 % of the figure over resampled questions."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of two runs over the questions that both have: ``b`` - ``a``, its interval, and the p-value of "no
    difference", two-sided, in (0, 1]."""

    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float


def interval(measure: Measure[Item], items: Sequence[Item], seed: int) -> Interval | None:
    """The interval of ``measure`` over ``items``; None where the figure is not defined on them."""
    if not items or measure.value(items) is None:
        return None
    draw = np.random.default_rng(seed)
    if measure.whole is None:
        column = _column(measure.values(items))[:, None]  # (N, 1)
        samples = _resampled_means(column, draw)[:, 0]
    else:
        picks = draw.integers(len(items), size=(WHOLE_SAMPLES, len(items)))
        samples = _defined([measure.whole([items[i] for i in pick]) for pick in picks.tolist()])
    return Interval(*_middle(samples))


def paired(measure: Measure[Item], first: Sequence[Item], second: Sequence[Item], seed: int) -> Difference | None:
    """``first`` against ``second``, row for row; None where either side has no figure.

    Raises ValueError for rows of unequal number.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} rows against {len(second)}; give both runs' rows of the same questions")
    a, b = measure.value(first), measure.value(second)
    if a is None or b is None:
        return None
    draw = np.random.default_rng(seed)
    if measure.whole is None:
        columns = np.stack([_column(measure.values(first)), _column(measure.values(second))], axis=1)  # (N, 2)
        means = _resampled_means(columns, draw)
        booted, shuffled = means[:, 1] - means[:, 0], _shuffled_means(columns, draw)
    else:
        booted, shuffled = _computed_again(measure, first, second, draw)
    extreme = int(np.sum(np.abs(shuffled) >= abs(b - a) - 1e-12))
    return Difference(a, b, b - a, *_middle(booted), p=(extreme + 1) / (len(shuffled) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrected p-values in the same order, at most 1: a figure is significant where its own is under the level."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, worst = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, p_values[i] * (len(p_values) - rank)))
        corrected[i] = worst
    return corrected


def _column(values: Sequence[float | None]) -> Numbers:
    return np.array([np.nan if value is None else float(value) for value in values])


def _resampled_means(columns: Numbers, draw: np.random.Generator) -> Numbers:
    """Means of each column over MEAN_SAMPLES bootstrap samples of the rows, (S, C); NaN where a sample has no value."""
    known = ~np.isnan(columns)  # (N, C)
    values = np.where(known, columns, 0.0)
    rows, blocks = len(columns), []
    for size in _blocks(rows):
        counts = draw.multinomial(rows, np.full(rows, 1 / rows), size=size).astype(float)  # (size, N)
        blocks.append(_ratio(counts @ values, counts @ known))
    return np.concatenate(blocks)


def _shuffled_means(columns: Numbers, draw: np.random.Generator) -> Numbers:
    """Differences of the two columns' means, their values swapped in a random half of the rows, (S,)."""
    known = ~np.isnan(columns)
    values = np.where(known, columns, 0.0)
    sums, counts = values.sum(axis=0), known.sum(axis=0)
    moved, moved_counts = values[:, 1] - values[:, 0], known[:, 1].astype(float) - known[:, 0]
    differences = []
    for size in _blocks(len(columns)):
        swap = draw.integers(2, size=(size, len(columns))).astype(float)  # (size, N)
        gained, gained_counts = swap @ moved, swap @ moved_counts
        first = _ratio(sums[0] + gained, counts[0] + gained_counts)
        second = _ratio(sums[1] - gained, counts[1] - gained_counts)
        differences.append(second - first)
    found = np.concatenate(differences)
    return found[~np.isnan(found)]


def _computed_again(
    measure: Measure[Item], first: Sequence[Item], second: Sequence[Item], draw: np.random.Generator
) -> tuple[Numbers, Numbers]:
    def difference(left: Sequence[Item], right: Sequence[Item]) -> float | None:
        a, b = measure.value(left), measure.value(right)
        return None if a is None or b is None else b - a

    rows = range(len(first))
    booted, shuffled = [], []
    for _ in range(WHOLE_SAMPLES):
        pick = draw.integers(len(first), size=len(first)).tolist()
        booted.append(difference([first[i] for i in pick], [second[i] for i in pick]))
        swap = draw.integers(2, size=len(first)).tolist()
        mixed = [(second[i], first[i]) if swap[i] else (first[i], second[i]) for i in rows]
        shuffled.append(difference([left for left, _ in mixed], [right for _, right in mixed]))
    return _defined(booted), _defined(shuffled)


def _defined(values: Sequence[float | None]) -> Numbers:
    return np.array([value for value in values if value is not None])


def _ratio(above: Numbers, below: Numbers) -> Numbers:
    shares: Numbers = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return shares


def _blocks(rows: int) -> list[int]:
    size = max(1, min(MEAN_SAMPLES, _BLOCK // max(rows, 1)))
    return [min(size, MEAN_SAMPLES - start) for start in range(0, MEAN_SAMPLES, size)]


def _middle(samples: Numbers) -> tuple[float, float]:
    known = samples[~np.isnan(samples)]
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
