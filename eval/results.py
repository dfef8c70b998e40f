"""The rows that figures are made of: an answered question with its scores, a judged claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rag.answers import exact_match, rouge_l, token_f1
from rag.datafiles import Label
from rag.types import Usage, Verdict

CORRECT_F1 = 0.5


@dataclass(frozen=True, slots=True)
class CheckedClaim:
    """A claim of an answer: the verifier's verdict, and the passage (any stable key) of each of its citations."""

    verdict: Verdict
    cited: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QaResult:
    """A question with its answer. ``gold_passages`` are the keys of the passages that hold the answer.

    ``support`` in [0, 1]; ``answer`` and ``claims`` of a refusal are not scored; ``latency_ms`` is wall time.
    ``ranking``: how well the gold passages were ranked (eval/ranking.py), empty where nothing was searched.
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
    usage: Usage = field(default_factory=Usage)
    ranking: Mapping[str, float] = field(default_factory=dict)


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
class Scored:
    """A question, its answer and its scores: the row that QA_MEASURES read."""

    result: QaResult
    score: QaScore

    @property
    def answered(self) -> bool:
        """Not refused."""
        return not self.result.refused

    @property
    def outcome(self) -> str:
        """ "right" or "wrong" for an answer; "refused rightly" or "refused wrongly" by whether there was one."""
        if self.result.refused:
            return "refused wrongly" if self.result.answerable else "refused rightly"
        return "right" if self.score.correct else "wrong"


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


def scored(results: Sequence[QaResult]) -> list[Scored]:
    """Each result with its scores."""
    return [Scored(result, score_answer(result)) for result in results]
