"""What `eval qa` and `eval claims` report: pure functions from result rows to named figures.

Rows are plain records that the commands fill in from the pipeline's answers. One rule for figures that a file cannot
give: where the denominator is zero (no answerable question, nothing refused, one class only) the value is None, which
--json prints as null; never NaN, never a made-up 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from eval.calibration import area_under_risk_coverage, auroc, brier_score, expected_calibration_error
from rag.answers import exact_match, rouge_l, token_f1
from rag.datafiles import Label
from rag.types import Verdict

CORRECT_F1 = 0.5

Figures = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class CheckedClaim:
    """A claim of an answer: the verifier's verdict, and the passage (any stable key) of each of its citations."""

    verdict: Verdict
    cited: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QaResult:
    """A question with its answer. ``gold_passages`` are the keys of the passages that hold the answer.

    ``support`` in [0, 1]; ``answer`` and ``claims`` of a refusal are not scored; ``latency_ms`` is wall time.
    """

    id: str
    answerable: bool
    golds: tuple[str, ...]
    answer: str
    refused: bool
    support: float = 0.0
    claims: tuple[CheckedClaim, ...] = ()
    gold_passages: frozenset[str] = frozenset()
    latency_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class QaScore:
    """The scores of one question, each in [0, 1]; all 0 for a refusal and for an unanswerable question."""

    em: float
    f1: float
    rouge_l: float

    @property
    def correct(self) -> bool:
        """F1 of at least one half: answers are sentences as often as spans, and a right sentence rarely matches."""
        return self.f1 >= CORRECT_F1


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """A claim of a claims file, its gold label and what the verifier said."""

    id: str
    dataset: str
    label: Label
    support: float
    verdict: Verdict


def score_answer(result: QaResult) -> QaScore:
    """EM, F1 and ROUGE-L of one question, best over its gold answers; see rag/answers.py for the definitions."""
    if result.refused or not result.answerable:
        return QaScore(0.0, 0.0, 0.0)
    texts = (result.answer, result.golds)
    return QaScore(exact_match(*texts), token_f1(*texts), rouge_l(*texts))


def qa_metrics(results: Sequence[QaResult]) -> Figures:
    """The figures of a question file. Shares are in [0, 1]; None where not defined on these rows.

    n                         questions
    em, f1, rouge_l           mean over answerable questions, a refusal scoring 0
    answer_rate               share of questions that were answered, not refused
    refusal_precision/recall/f1   "refused" as the positive class, "not answerable" as the truth
    support_auroc, ece, brier, aurc   of support as the confidence in an answer, over the answered questions; right is
                              F1 >= 0.5, and an answer to an unanswerable question is wrong. aurc is comparable between
                              runs of like answer_rate only
    hallucination_rate        share of answered questions holding a claim whose verdict is not "supported"
    citation_precision/recall see ``citation_scores``
    latency_ms_p50/p95        milliseconds a question
    """
    scores = [score_answer(result) for result in results]
    asked = [score for score, result in zip(scores, results, strict=True) if result.answerable]
    answered = [(score, result) for score, result in zip(scores, results, strict=True) if not result.refused]
    confidences = [result.support for _, result in answered]
    correct = [score.correct for score, _ in answered]
    unsupported = [any(claim.verdict is not Verdict.SUPPORTED for claim in result.claims) for _, result in answered]
    latencies = [result.latency_ms for result in results]
    return {
        "n": len(results),
        "em": mean(score.em for score in asked),
        "f1": mean(score.f1 for score in asked),
        "rouge_l": mean(score.rouge_l for score in asked),
        "answer_rate": _share(len(answered), len(results)),
        **refusal_scores([result.refused for result in results], [result.answerable for result in results]),
        "support_auroc": auroc(confidences, correct),
        "ece": expected_calibration_error(confidences, correct),
        "brier": brier_score(confidences, correct),
        "aurc": area_under_risk_coverage(confidences, correct),
        "hallucination_rate": mean(unsupported),
        **citation_scores([result for _, result in answered]),
        "latency_ms_p50": percentile(latencies, 50),
        "latency_ms_p95": percentile(latencies, 95),
    }


def refusal_scores(refused: Sequence[bool], answerable: Sequence[bool]) -> Figures:
    """Precision, recall and F1 of refusing, truth being "not answerable"; None where the denominator is zero."""
    right = sum(no and not can for no, can in zip(refused, answerable, strict=True))
    refusals, unanswerable = sum(refused), len(answerable) - sum(answerable)
    return {
        "refusal_precision": _share(right, refusals),
        "refusal_recall": _share(right, unanswerable),
        "refusal_f1": _share(2 * right, refusals + unanswerable),
    }


def citation_scores(answered: Sequence[QaResult]) -> Figures:
    """Citation precision and recall, mean over answered answerable questions whose gold passages are known.

    ALCE (Gao et al., "Enabling Large Language Models to Generate Text with Citations", EMNLP 2023) with "the cited
    text entails the claim" replaced by "the cited passage is a gold one", which needs no judging model:
    precision of a question = citations of a gold passage / all its citations, 0 where it cites nothing (as ALCE);
    recall of a question    = its claims that cite a gold passage / all its claims, 0 without claims.
    For an answer of one claim, recall says whether the gold passage is cited. None without such questions.
    """
    precisions, recalls = [], []
    for result in answered:
        if not result.answerable or not result.gold_passages:
            continue
        hits = [[key in result.gold_passages for key in claim.cited] for claim in result.claims]
        citations = [hit for claim in hits for hit in claim]
        precisions.append(_share(sum(citations), len(citations)) or 0.0)
        recalls.append(_share(sum(any(claim) for claim in hits), len(hits)) or 0.0)
    return {"citation_precision": mean(precisions), "citation_recall": mean(recalls)}


def claim_metrics(results: Sequence[ClaimResult]) -> dict[str, float | dict[str, Figures] | None]:
    """n, balanced_accuracy, auroc, ece, brier over all rows, and ``by_dataset``: the same for each data set alone."""
    datasets = sorted({result.dataset for result in results})
    return {
        **claim_figures(results),
        "by_dataset": {name: claim_figures([row for row in results if row.dataset == name]) for name in datasets},
    }


def claim_figures(results: Sequence[ClaimResult]) -> Figures:
    """Supported against the rest: balanced accuracy of the verdicts, AUROC, ECE and Brier score of the support."""
    supported = [result.label is Label.SUPPORTED for result in results]
    supports = [result.support for result in results]
    return {
        "n": len(results),
        "balanced_accuracy": balanced_accuracy([r.verdict is Verdict.SUPPORTED for r in results], supported),
        "auroc": auroc(supports, supported),
        "ece": expected_calibration_error(supports, supported),
        "brier": brier_score(supports, supported),
    }


def balanced_accuracy(said: Sequence[bool], truth: Sequence[bool]) -> float | None:
    """Mean of the recall of both classes (Brodersen et al., ICPR 2010), in [0, 1]; None unless both classes occur."""
    yes = _share(sum(s and t for s, t in zip(said, truth, strict=True)), sum(truth))
    no = _share(sum(not s and not t for s, t in zip(said, truth, strict=True)), len(truth) - sum(truth))
    return None if yes is None or no is None else (yes + no) / 2


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The value below which ``percent`` of the values lie, linear between neighbours; None without values."""
    return float(np.percentile(values, percent)) if values else None


def mean(values: Iterable[float]) -> float | None:
    """Arithmetic mean, exactly rounded whatever the order; None without values."""
    numbers = list(values)
    return math.fsum(numbers) / len(numbers) if numbers else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
