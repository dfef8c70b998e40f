from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from eval.calibration import (
    area_under_risk_coverage,
    auroc,
    brier_score,
    expected_calibration_error,
    risk_coverage,
)


def _sample(seed: int, size: int = 120) -> tuple[list[float], list[bool]]:
    draw = random.Random(seed)
    confidences = [round(draw.random(), draw.choice([1, 2, 6])) for _ in range(size)]  # some ties
    return confidences, [draw.random() < confidence for confidence in confidences]


@pytest.mark.parametrize("seed", range(5))
def test_auroc_and_brier_equal_scikit_learn(seed: int) -> None:
    confidences, right = _sample(seed)
    assert auroc(confidences, right) == pytest.approx(roc_auc_score(right, confidences), abs=1e-12)
    assert brier_score(confidences, right) == pytest.approx(brier_score_loss(right, confidences), abs=1e-12)


def test_auroc_counts_ties_half() -> None:
    assert auroc([0.5, 0.5], [True, False]) == 0.5
    assert auroc([0.9, 0.5, 0.5, 0.1], [True, True, False, False]) == 3.5 / 4


@pytest.mark.parametrize("seed", range(3))
def test_ece_equals_a_histogram_with_numpy(seed: int) -> None:
    confidences, right = _sample(seed)
    values, flags = np.array(confidences), np.array(right)
    edges = np.linspace(0, 1, 16)
    expected = 0.0
    for low, high in itertools.pairwise(edges):
        inside = (values > low) & (values <= high) if low > 0 else values <= high
        if inside.any():
            expected += inside.mean() * abs(flags[inside].mean() - values[inside].mean())
    assert expected_calibration_error(confidences, right) == pytest.approx(expected, abs=1e-9)


def test_ece_hand_worked() -> None:
    # bin (.8667, .9333]: two items of .9, one right: gap .4; bin (.0667, .1333]: one item of .1, wrong: gap .1
    assert expected_calibration_error([0.9, 0.9, 0.1], [True, False, False]) == pytest.approx((2 * 0.4 + 0.1) / 3)


def test_ece_refuses_what_is_no_probability() -> None:
    with pytest.raises(ValueError, match=r"1\.2 is not in \[0, 1\]"):
        expected_calibration_error([1.2], [True])
    with pytest.raises(ValueError, match="nan"):
        expected_calibration_error([float("nan")], [True])


def test_risk_coverage_hand_worked() -> None:
    points = risk_coverage([0.9, 0.2, 0.6, 0.4], [True, False, False, True])
    assert [point.coverage for point in points] == [0.25, 0.5, 0.75, 1.0]
    assert [point.risk for point in points] == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert area_under_risk_coverage([0.9, 0.2, 0.6, 0.4], [True, False, False, True]) == pytest.approx(4 / 3 / 4)


def test_risk_coverage_of_ties_is_the_mean_over_their_orders() -> None:
    assert [point.risk for point in risk_coverage([0.5, 0.5], [True, False])] == [0.5, 0.5]
    confidences, right = [0.5, 0.5, 0.5, 0.1], [True, False, False, True]
    assert area_under_risk_coverage(confidences, right) == area_under_risk_coverage(confidences, [*right[2::-1], True])


def test_not_defined_is_none_and_never_nan() -> None:
    assert auroc([], []) is None
    assert auroc([0.3, 0.4], [True, True]) is None
    assert expected_calibration_error([], []) is None
    assert brier_score([], []) is None
    assert area_under_risk_coverage([], []) is None
    assert risk_coverage([], []) == []


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="2 confidences for 1 outcomes"):
        auroc([0.1, 0.2], [True])
