"""Figures of the ranking models' dev groups. eval/ has its own for reports, which train/ may not import."""

from __future__ import annotations

from collections.abc import Sequence

from sklearn.metrics import roc_auc_score


def mean_reciprocal_rank(ranks: Sequence[int]) -> float | None:
    """Mean of 1 / rank, in [0, 1]; None without any."""
    return round(sum(1 / rank for rank in ranks) / len(ranks), 4) if ranks else None


def auroc(right: Sequence[float], wrong: Sequence[float]) -> float | None:
    """Chance that a right one scores above a wrong one, ties half (Mann-Whitney); None where either is empty."""
    if not right or not wrong:
        return None
    flags = [True] * len(right) + [False] * len(wrong)
    return round(float(roc_auc_score(flags, [*right, *wrong])), 4)
