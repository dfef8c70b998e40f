"""How much a confidence in [0, 1] is worth: does it rank right before wrong, and is it the true rate of being right.

Every function takes two sequences of equal length, confidences and whether each item was right. ``None`` means that
the figure is not defined on this input (no items, or only one class); NaN is never returned. Equal confidences are
treated alike wherever they stand, so no figure depends on the order of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

ECE_BINS = 15


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """At ``coverage`` (share of items kept, most confident first) the share of wrong items among them is ``risk``."""

    coverage: float
    risk: float


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The ``count`` items of one bin: their mean ``confidence`` and the share that is ``right``, both in [0, 1]."""

    confidence: float
    right: float
    count: int


def auroc(confidences: Sequence[float], right: Sequence[bool]) -> float | None:
    """Chance that a right item has a higher confidence than a wrong one, ties counting half; None with one class.

    Area under the ROC curve as the Mann-Whitney statistic (Hanley & McNeil, Radiology 143, 1982).
    """
    _same_length(confidences, right)
    positives = sum(right)
    negatives = len(right) - positives
    if positives == 0 or negatives == 0:
        return None
    wins, negatives_below = 0.0, 0
    for _, group in groupby(sorted(zip(confidences, right, strict=True)), key=lambda item: item[0]):
        flags = [flag for _, flag in group]
        here = sum(flags)
        wins += here * (negatives_below + (len(flags) - here) / 2)
        negatives_below += len(flags) - here
    return wins / (positives * negatives)


def expected_calibration_error(confidences: Sequence[float], right: Sequence[bool]) -> float | None:
    """Mean over items of |share right - mean confidence| of their bin; 15 bins of equal width, (lower, upper].

    In [0, 1]; None without items. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3.
    Raises ValueError for a confidence outside [0, 1].
    """
    _same_length(confidences, right)
    if not confidences:
        return None
    bins: dict[int, list[tuple[float, bool]]] = {}
    for confidence, flag in zip(confidences, right, strict=True):
        if not 0.0 <= confidence <= 1.0:
            raise ValueError(f"confidence {confidence} is not in [0, 1]; pass probabilities")
        bins.setdefault(max(math.ceil(confidence * ECE_BINS), 1), []).append((confidence, flag))
    gaps = [abs(math.fsum(flag - confidence for confidence, flag in items)) for items in bins.values()]
    return math.fsum(gaps) / len(confidences)


def brier_score(confidences: Sequence[float], right: Sequence[bool]) -> float | None:
    """Mean squared distance of the confidence from 1 (right) or 0 (wrong), in [0, 1]; None without items.

    Brier, "Verification of Forecasts Expressed in Terms of Probability", Monthly Weather Review 78, 1950 (the
    one-class form).
    """
    _same_length(confidences, right)
    if not confidences:
        return None
    return math.fsum((c - flag) ** 2 for c, flag in zip(confidences, right, strict=True)) / len(confidences)


def risk_coverage(confidences: Sequence[float], right: Sequence[bool]) -> list[RiskPoint]:
    """Risk at each of the coverages 1/n, 2/n, ..., 1, most confident items first; empty without items.

    Geifman & El-Yaniv, "Selective Classification for Deep Neural Networks", NeurIPS 2017. Among equal confidences the
    errors are spread evenly: the expected curve over all orders of the tie.
    """
    _same_length(confidences, right)
    items = sorted(zip(confidences, right, strict=True), key=lambda item: -item[0])
    points: list[RiskPoint] = []
    wrong_before, seen = 0, 0
    for _, group in groupby(items, key=lambda item: item[0]):
        flags = [flag for _, flag in group]
        wrong_here = len(flags) - sum(flags)
        for place in range(1, len(flags) + 1):
            wrong = wrong_before + wrong_here * place / len(flags)
            points.append(RiskPoint((seen + place) / len(items), wrong / (seen + place)))
        wrong_before, seen = wrong_before + wrong_here, seen + len(flags)
    return points


def area_under_risk_coverage(confidences: Sequence[float], right: Sequence[bool]) -> float | None:
    """AURC, the mean risk over the coverages 1/n ... 1; in [0, 1], lower is better; None without items.

    Geifman, Uziel & El-Yaniv, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers", ICLR 2019.
    """
    points = risk_coverage(confidences, right)
    return math.fsum(point.risk for point in points) / len(points) if points else None


def accuracy_at_coverage(confidences: Sequence[float], right: Sequence[bool], coverage: float) -> float | None:
    """Share of right items among the ``coverage`` of all that is most confident, in [0, 1]; None without items.

    1 - risk at the first point of the risk-coverage curve that reaches ``coverage`` (in (0, 1]): selective accuracy,
    El-Yaniv & Wiener, "On the Foundations of Noise-free Selective Classification", JMLR 11, 2010.
    """
    points = risk_coverage(confidences, right)
    return next((1 - point.risk for point in points if point.coverage >= coverage - 1e-9), None)


def reliability(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> list[ReliabilityBin]:
    """Mean confidence and share right in each of ``bins`` bins of equal width that holds items: a reliability plot.

    Niculescu-Mizil & Caruana, "Predicting Good Probabilities with Supervised Learning", ICML 2005.
    """
    _same_length(confidences, right)
    held: dict[int, list[tuple[float, bool]]] = {}
    for confidence, flag in zip(confidences, right, strict=True):
        held.setdefault(max(math.ceil(confidence * bins), 1), []).append((confidence, flag))
    return [
        ReliabilityBin(
            math.fsum(confidence for confidence, _ in items) / len(items),
            sum(flag for _, flag in items) / len(items),
            len(items),
        )
        for _, items in sorted(held.items())
    ]


def _same_length(confidences: Sequence[float], right: Sequence[bool]) -> None:
    if len(confidences) != len(right):
        raise ValueError(f"{len(confidences)} confidences for {len(right)} outcomes; give one of each per item")
