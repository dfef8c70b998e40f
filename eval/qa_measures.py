"""The figures of answered questions, each with its definition and source; see eval/measures.py for what an entry is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eval.calibration import (
    accuracy_at_coverage,
    area_under_risk_coverage,
    auroc,
    brier_score,
    expected_calibration_error,
)
from eval.measures import Better, Figures, Measure, share
from eval.results import Scored
from rag.types import Verdict

COVERAGE = 0.8


def refusal_scores(refused: Sequence[bool], answerable: Sequence[bool]) -> Figures:
    """Precision, recall and F1 of refusing, truth being "not answerable"; None where the denominator is zero."""
    right = sum(no and not can for no, can in zip(refused, answerable, strict=True))
    refusals, unanswerable = sum(refused), len(answerable) - sum(answerable)
    return {
        "refusal_precision": share(right, refusals),
        "refusal_recall": share(right, unanswerable),
        "refusal_f1": share(2 * right, refusals + unanswerable),
    }


def confidence(rows: Sequence[Scored]) -> tuple[list[float], list[bool]]:
    """Support of the answered questions, and whether each was right; an answer to an unanswerable one is wrong."""
    answered = [row for row in rows if row.answered]
    return [row.result.support for row in answered], [row.score.correct for row in answered]


def _answerable(value: Callable[[Scored], float]) -> Callable[[Scored], float | None]:
    return lambda row: value(row) if row.result.answerable else None


def _answered(value: Callable[[Scored], float]) -> Callable[[Scored], float | None]:
    return lambda row: value(row) if row.answered else None


def _count(verdict: Verdict) -> Callable[[Scored], float | None]:
    return _answered(lambda row: sum(claim.verdict is verdict for claim in row.result.claims))


def _ranked(name: str) -> Callable[[Scored], float | None]:
    return lambda row: row.result.ranking.get(name)


def _refusal_f1(rows: Sequence[Scored]) -> float | None:
    refused = [row.result.refused for row in rows]
    return refusal_scores(refused, [row.result.answerable for row in rows])["refusal_f1"]


def _citation_precision(row: Scored) -> float | None:
    if not _citable(row):
        return None
    cited = [key for claim in row.result.claims for key in claim.cited]
    return share(sum(key in row.result.gold_passages for key in cited), len(cited)) or 0.0


def _citation_recall(row: Scored) -> float | None:
    if not _citable(row):
        return None
    claims = row.result.claims
    return share(sum(not row.result.gold_passages.isdisjoint(claim.cited) for claim in claims), len(claims)) or 0.0


def _citable(row: Scored) -> bool:
    return row.answered and row.result.answerable and bool(row.result.gold_passages)


def _mean(name: str, better: Better, about: str, each: Callable[[Scored], float | None]) -> Measure[Scored]:
    return Measure(name, better, about, each=each)


def _whole(
    name: str, better: Better, about: str, figure: Callable[[list[float], list[bool]], float | None]
) -> Measure[Scored]:
    return Measure(name, better, about, whole=lambda rows: figure(*confidence(rows)))


_ALCE = (
    "after ALCE (Gao et al., EMNLP 2023), with its entailment test replaced by: the cited passage is a gold one. "
    "Over answered answerable questions with known gold passages"
)
_RIGHT = "right is F1 of at least .5, and an answer to an unanswerable question is wrong"
_RANKED = "of the gold passages in the ranking of the whole collection, over answerable questions; see eval/ranking.py"

QA_MEASURES: tuple[Measure[Scored], ...] = (
    _mean(
        "em", "higher", "Exact match of SQuAD (Rajpurkar et al., 2016), over answerable questions; a refusal is 0.",
        _answerable(lambda row: row.score.em),
    ),
    _mean(
        "f1", "higher", "Token F1 of SQuAD, best over the gold answers, over answerable questions; a refusal is 0.",
        _answerable(lambda row: row.score.f1),
    ),
    _mean(
        "rouge_l", "higher", "ROUGE-L F1 (Lin, 2004), best over the gold answers, over answerable questions.",
        _answerable(lambda row: row.score.rouge_l),
    ),
    _mean("answer_rate", "neither", "Share of questions that were answered, not refused.", lambda row: row.answered),
    _mean(
        "refusal_precision", "higher", "Share of the refusals whose question indeed had no answer.",
        lambda row: None if row.answered else not row.result.answerable,
    ),
    _mean(
        "refusal_recall", "higher", "Share of the questions without an answer that were refused.",
        lambda row: None if row.result.answerable else row.result.refused,
    ),
    Measure("refusal_f1", "higher", "Harmonic mean of refusal precision and recall.", whole=_refusal_f1),
    _whole(
        "support_auroc", "higher",
        f"Chance that a right answer has the higher support than a wrong one (Hanley & McNeil, 1982); {_RIGHT}.", auroc,
    ),
    _whole(
        "ece", "lower", f"Expected calibration error of support, 15 bins (Guo et al., ICML 2017); {_RIGHT}.",
        expected_calibration_error,
    ),
    _whole(
        "brier", "lower", f"Mean squared distance of support from being right (Brier, 1950); {_RIGHT}.", brier_score
    ),
    _whole(
        "aurc", "lower",
        "Area under the risk-coverage curve over answered questions, by support (Geifman et al., ICLR 2019); "
        "comparable between runs of like answer rate only.",
        area_under_risk_coverage,
    ),
    _whole(
        "accuracy_at_80", "higher",
        "Share of right answers among the 80 % of the answered questions that have most support (selective accuracy, "
        "El-Yaniv & Wiener, JMLR 2010).",
        lambda support, right: accuracy_at_coverage(support, right, COVERAGE),
    ),
    _mean(
        "hallucination_rate", "lower", 'Share of answered questions with a claim whose verdict is not "supported".',
        _answered(lambda row: any(claim.verdict is not Verdict.SUPPORTED for claim in row.result.claims)),
    ),
    _mean("supported_claims", "neither", "Supported claims an answered question.", _count(Verdict.SUPPORTED)),
    _mean("unsupported_claims", "lower", "Unsupported claims an answered question.", _count(Verdict.UNSUPPORTED)),
    _mean("contradicted_claims", "lower", "Contradicted claims an answered question.", _count(Verdict.CONTRADICTED)),
    _mean(
        "citation_precision", "higher", f"Citations of a gold passage by all citations, 0 without any: {_ALCE}.",
        _citation_precision,
    ),
    _mean("citation_recall", "higher", f"Claims that cite a gold passage by all claims: {_ALCE}.", _citation_recall),
    _mean(
        "prompt_tokens", "neither", "Tokens that the generator read, a question.",
        lambda row: row.result.usage.prompt_tokens,
    ),
    _mean(
        "completion_tokens", "neither", "Tokens that the generator wrote, a question.",
        lambda row: row.result.usage.completion_tokens,
    ),
)  # fmt: skip

# Of runs that searched a collection.
RANKING_MEASURES: tuple[Measure[Scored], ...] = (
    _mean("ndcg@10", "higher", f"nDCG@10 {_RANKED}.", _ranked("ndcg@10")),
    _mean("recall@5", "higher", f"Recall@5 {_RANKED}.", _ranked("recall@5")),
    _mean("recall@20", "higher", f"Recall@20 {_RANKED}.", _ranked("recall@20")),
    _mean("mrr@10", "higher", f"Reciprocal rank {_RANKED}.", _ranked("mrr@10")),
)
