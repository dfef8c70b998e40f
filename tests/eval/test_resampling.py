from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from eval.calibration import auroc
from eval.measures import Measure, mean
from eval.resampling import holm, intervals, paired

MEAN: Measure[float] = Measure("mean", "higher", "", each=lambda value: value)
BIG: Measure[float] = Measure("big", "higher", "", each=lambda value: value if value > 0.5 else None)


def _mean(values: Sequence[float]) -> float | None:
    return mean(values)


WHOLE: Measure[float] = Measure("whole", "higher", "", whole=_mean)


def sample(seed: int, size: int = 60) -> list[float]:
    draw = random.Random(seed)
    return [draw.random() for _ in range(size)]


def test_the_interval_of_a_mean_is_that_of_scipys_bootstrap() -> None:
    values = sample(1)
    ours = intervals([MEAN], values, 7)["mean"]
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=9999, rng=1).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.high, abs=0.01)


def test_a_mean_and_the_same_figure_computed_again_agree() -> None:
    found = intervals([MEAN, WHOLE], sample(2), 7)
    assert found["mean"].low == pytest.approx(found["whole"].low, abs=0.03)
    assert found["mean"].high == pytest.approx(found["whole"].high, abs=0.03)


def test_p_is_that_of_scipys_permutation_test() -> None:
    first = sample(3, 40)
    second = [value - 0.13 + 0.3 * noise for value, noise in zip(first, sample(4, 40), strict=True)]

    def gap(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(np.mean(b, axis=axis) - np.mean(a, axis=axis))

    theirs = stats.permutation_test((first, second), gap, permutation_type="samples", n_resamples=9999, rng=1)
    found = paired([MEAN, WHOLE], first, second, 7)
    assert 0.01 < theirs.pvalue < 0.9
    assert found["mean"].p == pytest.approx(theirs.pvalue, abs=0.03)
    assert found["whole"].p == pytest.approx(theirs.pvalue, abs=0.08)
    assert found["mean"].difference == pytest.approx(np.mean(second) - np.mean(first))
    assert found["mean"].low < found["mean"].difference < found["mean"].high


def test_equal_runs_differ_in_nothing_and_p_is_one() -> None:
    values = sample(5)
    for difference in paired([MEAN, BIG, WHOLE], values, values, 7).values():
        assert (difference.difference, difference.low, difference.high, difference.p) == (0.0, 0.0, 0.0, 1.0)


def test_p_values_of_no_difference_are_spread_evenly() -> None:
    """Of 100 pairs of runs without a true difference about 5 are under .05; these seeds are fixed, so is the count."""
    low = 0
    for seed in range(100):
        first, second = sample(seed, 30), sample(seed + 10_000, 30)
        low += paired([MEAN], first, second, seed)["mean"].p < 0.05
    assert low <= 12


def test_rows_that_a_figure_leaves_out_are_left_out_of_each_sample() -> None:
    values = [0.1] * 50 + [0.9] * 5
    found = intervals([BIG], values, 7)["big"]
    assert found.low == pytest.approx(0.9) and found.high == pytest.approx(0.9)


def test_what_is_not_defined_has_no_interval_and_no_difference() -> None:
    assert intervals([BIG], [0.1, 0.2], 7) == {}
    assert intervals([MEAN], [], 7) == {}
    assert paired([BIG], [0.1], [0.9], 7) == {}
    assert paired([MEAN], [], [], 7) == {}


def test_samples_of_one_class_are_left_out_where_a_figure_needs_two() -> None:
    both: Measure[tuple[float, bool]] = Measure(
        "auroc", "higher", "", whole=lambda rows: auroc([s for s, _ in rows], [r for _, r in rows])
    )
    rows = [(0.9, True), (0.1, False), (0.4, True), (0.5, False)]
    found = intervals([both], rows, 7)["auroc"]
    assert 0.0 <= found.low <= found.high <= 1.0


def test_the_same_seed_gives_the_same_numbers() -> None:
    first, second = sample(6), sample(7)
    assert paired([MEAN, WHOLE], first, second, 3) == paired([MEAN, WHOLE], first, second, 3)
    assert intervals([MEAN, WHOLE], first, 3) == intervals([MEAN, WHOLE], first, 3)


def test_rows_of_unequal_number_are_refused() -> None:
    with pytest.raises(ValueError, match="2 rows against 1"):
        paired([MEAN], [0.1, 0.2], [0.1], 7)


def test_holms_correction_worked_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
