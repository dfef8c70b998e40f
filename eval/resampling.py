"""How sure a figure is: bootstrap intervals of one run, and paired tests between two runs of the same questions.

intervals   percentile bootstrap over questions (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13)
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


def intervals(measures: Sequence[Measure[Item]], items: Sequence[Item], seed: int) -> dict[str, Interval]:
    """The interval of each of ``measures`` over ``items``, by name; those not defined on them are left out."""
    if not items:
        return {}
    defined = [measure for measure in measures if measure.value(items) is not None]
    means, wholes = _by_kind(defined)
    samples = dict(
        zip([measure.name for measure in means], _resampled_means(_columns(means, items), seed).T, strict=True)
    )
    if wholes:
        draw = np.random.default_rng(seed)
        picks = [[items[i] for i in pick] for pick in _picks(len(items), draw)]
        samples |= {measure.name: _defined([measure.value(pick) for pick in picks]) for measure in wholes}
    return {measure.name: Interval(*_middle(samples[measure.name])) for measure in defined}


def paired(
    measures: Sequence[Measure[Item]], first: Sequence[Item], second: Sequence[Item], seed: int
) -> dict[str, Difference]:
    """``first`` against ``second``, row for row, by the name of the measure; left out where a side has no figure.

    Raises ValueError for rows of unequal number.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} rows against {len(second)}; give both runs' rows of the same questions")
    values = {measure.name: (measure.value(first), measure.value(second)) for measure in measures} if first else {}
    known = {name: (a, b) for name, (a, b) in values.items() if a is not None and b is not None}
    means, wholes = _by_kind([measure for measure in measures if measure.name in known])
    booted, shuffled = _means_again(means, first, second, seed)
    for measure, pair in zip(wholes, _computed_again(wholes, first, second, seed), strict=True):
        booted[measure.name], shuffled[measure.name] = pair
    return {name: _difference(a, b, booted[name], shuffled[name]) for name, (a, b) in known.items()}


def _difference(a: float, b: float, booted: Numbers, shuffled: Numbers) -> Difference:
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


def _by_kind(measures: Sequence[Measure[Item]]) -> tuple[list[Measure[Item]], list[Measure[Item]]]:
    """Those that are means, and the others."""
    return [each for each in measures if each.whole is None], [each for each in measures if each.whole is not None]


def _columns(measures: Sequence[Measure[Item]], items: Sequence[Item]) -> Numbers:
    """A column a measure, (N, C); NaN for rows that it leaves out."""
    columns = [[np.nan if value is None else float(value) for value in measure.values(items)] for measure in measures]
    return np.array(columns, dtype=float).reshape(len(measures), len(items)).T


def _resampled_means(columns: Numbers, seed: int) -> Numbers:
    """Means of each column over MEAN_SAMPLES bootstrap samples of the rows, (S, C); NaN where a sample has no value."""
    draw = np.random.default_rng(seed)
    known = ~np.isnan(columns)  # (N, C)
    values = np.where(known, columns, 0.0)
    rows, blocks = len(columns), []
    for size in _blocks(rows):
        counts = np.zeros((size, rows))  # how often each row is in each sample
        picks = draw.integers(rows, size=(size, rows))
        np.add.at(counts, (np.arange(size)[:, None], picks), 1.0)
        blocks.append(_ratio(counts @ values, counts @ known))
    return np.concatenate(blocks)


def _means_again(
    measures: Sequence[Measure[Item]], first: Sequence[Item], second: Sequence[Item], seed: int
) -> tuple[dict[str, Numbers], dict[str, Numbers]]:
    """Differences of the means over resampled pairs, and over pairs whose values are swapped at random, by name."""
    if not measures:
        return {}, {}
    a, b = _columns(measures, first), _columns(measures, second)  # (N, C)
    both = _resampled_means(np.concatenate([a, b], axis=1), seed)  # (S, 2 C)
    booted = both[:, len(measures) :] - both[:, : len(measures)]
    shuffled = _shuffled_means(a, b, seed)
    names = [measure.name for measure in measures]
    return (
        dict(zip(names, booted.T, strict=True)),
        {name: column[~np.isnan(column)] for name, column in zip(names, shuffled.T, strict=True)},
    )


def _shuffled_means(a: Numbers, b: Numbers, seed: int) -> Numbers:
    """Differences of the means of ``b`` and ``a``, their values swapped in a random half of the rows, (S, C)."""
    draw = np.random.default_rng(seed + 1)
    known_a, known_b = ~np.isnan(a), ~np.isnan(b)
    values_a, values_b = np.where(known_a, a, 0.0), np.where(known_b, b, 0.0)
    moved, moved_counts = values_b - values_a, known_b.astype(float) - known_a
    differences = []
    for size in _blocks(len(a)):
        swap = draw.integers(2, size=(size, len(a))).astype(float)  # (size, N)
        gained, gained_counts = swap @ moved, swap @ moved_counts  # (size, C)
        left = _ratio(values_a.sum(axis=0) + gained, known_a.sum(axis=0) + gained_counts)
        right = _ratio(values_b.sum(axis=0) - gained, known_b.sum(axis=0) - gained_counts)
        differences.append(right - left)
    return np.concatenate(differences)


def _computed_again(
    measures: Sequence[Measure[Item]], first: Sequence[Item], second: Sequence[Item], seed: int
) -> list[tuple[Numbers, Numbers]]:
    """For each measure its differences over resampled pairs, and over pairs swapped at random."""
    if not measures:
        return []
    draw = np.random.default_rng(seed)
    resampled = [([first[i] for i in pick], [second[i] for i in pick]) for pick in _picks(len(first), draw)]
    swapped = []
    for swap in draw.integers(2, size=(WHOLE_SAMPLES, len(first))).tolist():
        pairs = [(b, a) if turn else (a, b) for a, b, turn in zip(first, second, swap, strict=True)]
        swapped.append(([a for a, _ in pairs], [b for _, b in pairs]))
    return [(_gaps(measure, resampled), _gaps(measure, swapped)) for measure in measures]


def _gaps(measure: Measure[Item], samples: Sequence[tuple[Sequence[Item], Sequence[Item]]]) -> Numbers:
    values = [(measure.value(left), measure.value(right)) for left, right in samples]
    return _defined([None if a is None or b is None else b - a for a, b in values])


def _picks(rows: int, draw: np.random.Generator) -> list[list[int]]:
    found: list[list[int]] = draw.integers(rows, size=(WHOLE_SAMPLES, rows)).tolist()
    return found


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
