"""Whether passages support what an answer says: the Verifier protocol and the baseline check.

The baseline check is no language model. For each claim it looks up the window of sentences that shares most with the
claim, reads off plain signals (shared words, cosine of the embeddings, numbers, names and negation that do not agree;
rag/evidence.py) and weighs them by logistic regression. It knows nothing of paraphrase beyond the embedding and nothing
of who did what to whom: models/baseline-check/README.md has its figures and limits. train/baseline_check.py fits it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rag.encode import Encoder
from rag.evidence import (
    ANSWER_FEATURES,
    SENTENCE_FEATURES,
    ClaimView,
    PassageView,
    Placement,
    place,
    view,
)
from rag.types import ModelBroken, ModelMissing, Passage, Verdict

WEIGHTS_FILE = "weights.json"
_MAX_EVIDENCE = 2
_CLEAR_OVERLAP = 0.8
_LONGER = 2.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Whole sentences that a claim rests on: characters [start, end) of the text of passage number ``passage``.

    ``score`` in [0, 1] is the support that this passage alone gives the claim.
    """

    passage: int
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """``support`` is the calibrated probability in [0, 1] that the passages support the claim.

    ``evidence`` is best first. Of an unsupported claim it holds the nearest sentences; empty where nothing can be
    cited: no passages, or passages and claims without words. ``unsupported``: characters [start, end) of the claim
    that the passages do not bear out, for verifiers that can tell.
    """

    support: float
    verdict: Verdict
    evidence: tuple[Evidence, ...] = ()
    unsupported: tuple[tuple[int, int], ...] = ()


class Verifier(Protocol):
    """Judges claims against passages."""

    @property
    def name(self) -> str:
        """Name of the model, as in its folder under models/."""
        ...

    @property
    def fingerprint(self) -> str:
        """First 12 hex digits over everything that changes a judgement."""
        ...

    def verify(self, claims: Sequence[str], passages: Sequence[Passage], question: str) -> list[Judgement]:
        """One judgement a claim, in order. ``question`` is what the claims answer; empty for free-standing claims."""
        ...


@dataclass(frozen=True, slots=True)
class LinearCheck:
    """A fitted logistic regression: weights by feature, bias, and the support from which a claim is supported."""

    weights: Mapping[str, float]
    bias: float
    threshold: float

    def probability(self, features: Mapping[str, float]) -> float:
        """Support in (0, 1)."""
        score = self.bias + math.fsum(weight * features[name] for name, weight in self.weights.items())
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))


@dataclass(frozen=True, slots=True)
class BaselineVerifier:
    """The lexical, embedding and number baseline. ``answer`` judges fragments read with their question."""

    encoder: Encoder
    sentence: LinearCheck
    answer: LinearCheck
    fingerprint: str
    name: str = "baseline-check"

    @classmethod
    def load(cls, folder: Path, encoder: Encoder) -> BaselineVerifier:
        """The baseline with the weights in ``folder``.

        Raises ModelMissing where weights.json is not there, ModelBroken where it is not what the fitting script writes.
        """
        path = folder / WEIGHTS_FILE
        try:
            content = path.read_bytes()
        except OSError as error:
            cure = "fit it with train/baseline_check.py"
            raise ModelMissing(f"{path}: cannot be read ({error.strerror}); {cure}") from error
        try:
            fields = json.loads(content)
            sentence = linear_check(fields["sentence"], SENTENCE_FEATURES)
            answer = linear_check(fields["answer"], ANSWER_FEATURES)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelBroken(f"{path}: no baseline weights ({error!r}); fit train/baseline_check.py again") from error
        digest = hashlib.sha256(content + encoder.fingerprint.encode()).hexdigest()
        return cls(encoder, sentence, answer, digest[:12])

    def verify(self, claims: Sequence[str], passages: Sequence[Passage], question: str) -> list[Judgement]:
        """See Verifier. The encoder runs once, over all sentences and claims; equal input gives equal output."""
        if not claims:
            return []
        claim_views, passage_views = view(claims, [passage.text for passage in passages], question, self.encoder)
        return [self._judge(claim, passage_views) for claim in claim_views]

    def _judge(self, claim: ClaimView, passages: Sequence[PassageView]) -> Judgement:
        check = self.answer if claim.is_fragment else self.sentence
        placed = [
            (check.probability(placement.features), -number, placement)
            for number, passage in enumerate(passages)
            if claim.words.line.strip() and (placement := place(claim, passage)) is not None
        ]
        if not placed:
            return Judgement(0.0, Verdict.UNSUPPORTED)
        placed.sort(key=lambda item: item[:2], reverse=True)
        support, _, best = placed[0]
        cited = [item for item in placed[:_MAX_EVIDENCE] if item is placed[0] or item[0] >= check.threshold]
        evidence = tuple(Evidence(-place_, where.start, where.end, score) for score, place_, where in cited)
        if support >= check.threshold:
            return Judgement(support, Verdict.SUPPORTED, evidence)
        verdict = Verdict.CONTRADICTED if contradicts(claim, best) else Verdict.UNSUPPORTED
        return Judgement(support, verdict, evidence)


def contradicts(claim: ClaimView, best: Placement) -> bool:
    """Whether one sentence clearly says otherwise: nearly every word of the claim, but another number or a negation.

    A sentence much longer than the claim may negate, or count, something else; a fragment shares too little to tell.
    """
    said, found = claim.words, best.nearest
    stems = said.stems - said.numbers
    if claim.is_fragment or not stems or len(found.stems) > _LONGER * len(said.stems):
        return False
    other_number = best.features["numbers_absent"] > 0 and bool(found.numbers - said.numbers)
    clear = len(stems & found.stems) >= _CLEAR_OVERLAP * len(stems)
    return clear and (other_number or said.negated != found.negated)


def linear_check(fields: Mapping[str, object], names: Sequence[str]) -> LinearCheck:
    """What a fitting script wrote. Raises ValueError, KeyError or TypeError for anything else."""
    weights = fields["weights"]
    if not isinstance(weights, dict) or set(weights) != set(names):
        raise ValueError(f"weights are not for the features {', '.join(names)}")
    numbers = [*weights.values(), fields["bias"], fields["threshold"]]
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        raise ValueError("weights, bias and threshold must be finite numbers")
    return LinearCheck({name: float(weights[name]) for name in names}, float(numbers[-2]), float(numbers[-1]))
