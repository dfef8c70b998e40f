"""The figures of `eval qa` and `eval claims`: every measure of their tables over the rows of a run, and the times.

Each figure is defined once, in QA_MEASURES (eval/qa_measures.py) and CLAIM_MEASURES here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from eval.calibration import auroc, brier_score, expected_calibration_error
from eval.measures import Better, Figures, Measure, figures
from eval.qa_measures import QA_MEASURES, refusal_scores
from eval.results import CheckedClaim, ClaimResult, QaResult, QaScore, score_answer, scored
from rag.datafiles import Label
from rag.types import Verdict

__all__ = [
    "CLAIM_MEASURES",
    "CheckedClaim",
    "ClaimResult",
    "QaResult",
    "QaScore",
    "balanced_accuracy",
    "claim_figures",
    "claim_metrics",
    "percentile",
    "qa_metrics",
    "refusal_scores",
    "score_answer",
]


def qa_metrics(results: Sequence[QaResult]) -> Figures:
    """n, every figure of QA_MEASURES, and the latencies latency_ms_p50 and latency_ms_p95 in milliseconds."""
    latencies = [result.latency_ms for result in results]
    return {
        "n": len(results),
        **figures(QA_MEASURES, scored(results)),
        "latency_ms_p50": percentile(latencies, 50),
        "latency_ms_p95": percentile(latencies, 95),
    }


def claim_metrics(results: Sequence[ClaimResult]) -> dict[str, float | dict[str, Figures] | None]:
    """n, balanced_accuracy, auroc, ece, brier over all rows, and ``by_dataset``: the same for each data set alone."""
    datasets = sorted({result.dataset for result in results})
    return {
        **claim_figures(results),
        "by_dataset": {name: claim_figures([row for row in results if row.dataset == name]) for name in datasets},
    }


def claim_figures(results: Sequence[ClaimResult]) -> Figures:
    """n and every figure of CLAIM_MEASURES."""
    return {"n": len(results), **figures(CLAIM_MEASURES, results)}


def balanced_accuracy(said: Sequence[bool], truth: Sequence[bool]) -> float | None:
    """Mean of the recall of both classes (Brodersen et al., ICPR 2010), in [0, 1]; None unless both classes occur."""
    positives, negatives = sum(truth), len(truth) - sum(truth)
    if positives == 0 or negatives == 0:
        return None
    hits = sum(one and other for one, other in zip(said, truth, strict=True))
    rejections = sum(not one and not other for one, other in zip(said, truth, strict=True))
    return (hits / positives + rejections / negatives) / 2


def correlation(values: Sequence[float], truth: Sequence[bool]) -> float | None:
    """Pearson's, of ``values`` with 1 for true and 0 for false, in [-1, 1]; None where either is constant."""
    if len(set(values)) < 2 or len(set(truth)) < 2:
        return None
    return float(np.corrcoef(values, np.asarray(truth, dtype=float))[0, 1])


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The value below which ``percent`` of the values lie, linear between neighbours; None without values."""
    return float(np.percentile(values, percent)) if values else None


def _claim(
    name: str, better: Better, about: str, figure: Callable[[list[float], list[bool]], float | None]
) -> Measure[ClaimResult]:
    def whole(rows: Sequence[ClaimResult]) -> float | None:
        return figure([row.support for row in rows], [row.label is Label.SUPPORTED for row in rows])

    return Measure(name, better, about, whole=whole)


def _claims_balanced(rows: Sequence[ClaimResult]) -> float | None:
    said = [row.verdict is Verdict.SUPPORTED for row in rows]
    return balanced_accuracy(said, [row.label is Label.SUPPORTED for row in rows])


CLAIM_MEASURES: tuple[Measure[ClaimResult], ...] = (
    Measure(
        "balanced_accuracy", "higher",
        "Mean recall of supported and not supported claims, by verdict (Brodersen et al., ICPR 2010).",
        whole=_claims_balanced,
    ),
    _claim("auroc", "higher", "Chance that a supported claim has the higher support (Hanley & McNeil, 1982).", auroc),
    _claim(
        "ece", "lower", "Expected calibration error of support (Guo et al., ICML 2017).", expected_calibration_error
    ),
    _claim(
        "correlation", "higher", "Point-biserial correlation of support and label (Pearson's with 1 for supported).",
        correlation,
    ),
    _claim("brier", "lower", "Mean squared distance of support from the label (Brier, 1950).", brier_score),
)  # fmt: skip
