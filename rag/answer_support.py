"""How probable an answer is right: from its check, how surely it was written, and what the reader makes of it.

A claim's support says whether the passages bear it out, not whether it answers the question. What tells that best is
how sure the generator was of each token, and whether the reader, another model, points at the same words. Four logistic
regressions weigh these, fitted on dev questions by benchmarks/fit_answers.py and kept as
models/answerable-check/answers.json: for spans as the generator wrote them, for its "yes" and "no", for the reader's
span, and for the words of a generator that gives no probabilities. Longer answers keep the support of their weakest
claim: whether a whole text is right cannot be told from such signals.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rag.answers import normalise
from rag.combine import agreement, log_odds
from rag.reader import Reading
from rag.types import ModelBroken, ModelMissing
from rag.verify import LinearCheck, linear_check

ANSWERS_FILE = "answers.json"
LONGEST = 12  # words of an answer that is rated as a whole
_CHECKED = ("support", "nearest", "told")
_SURE = ("least", "mean", "unanswerable")
_SPAN = ("agrees", "near", "lead", "long")
FEATURES: Mapping[str, tuple[str, ...]] = {
    "written": (*_CHECKED, *_SURE, *_SPAN),
    "yes_no": (*_CHECKED, *_SURE),
    "read": (*_CHECKED, *_SURE, *_SPAN),
    "foreign": (*_CHECKED, *_SPAN),
}
_LEAST = 1e-6  # of a token's probability


@dataclass(frozen=True, slots=True)
class Draft:
    """A possible answer and what is known of it.

    ``support``: of its weakest claim, in [0, 1]. ``written``: what the generator wrote, "" for a refusal, which is
    ``text`` itself unless the reader gave that; ``sure``: the probabilities of its tokens, none where it does not tell.
    ``unanswerable``: the generator's probability that the passages lack the answer. ``nearest``: the best passage's
    cosine.
    """

    text: str
    support: float
    reading: Reading
    written: str
    sure: Sequence[float] = ()
    unanswerable: float | None = None
    nearest: float = 0.0


@dataclass(frozen=True, slots=True)
class AnswerRater:
    """The fitted regressions, by kind of answer."""

    checks: Mapping[str, LinearCheck]
    fingerprint: str

    @classmethod
    def load(cls, path: Path) -> AnswerRater:
        """Raises ModelMissing without the file, ModelBroken where it is not what the fitting script writes."""
        try:
            content = path.read_bytes()
            fields = json.loads(content)
            checks = {kind: linear_check(fields[kind], names) for kind, names in FEATURES.items()}
        except FileNotFoundError:
            raise ModelMissing(f"{path}: no such file; fit it with benchmarks/fit_answers.py") from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelBroken(f"{path}: no ratings ({error!r}); fit it with benchmarks/fit_answers.py") from error
        return cls(checks, hashlib.sha256(content).hexdigest()[:12])

    def rate(self, draft: Draft) -> float | None:
        """The probability in (0, 1) that the draft is right; None for a longer one."""
        kind = kind_of(draft)
        return self.checks[kind].probability(features(draft)) if kind else None


def kind_of(draft: Draft) -> str:
    """Which regression rates the draft; "" for none."""
    said = normalise(draft.text)
    if said in ("yes", "no"):
        return "yes_no" if draft.unanswerable is not None else ""
    if len(draft.text.split()) > LONGEST:
        return ""
    if draft.text != draft.written:
        return "read"
    return "foreign" if draft.unanswerable is None else "written"


def features(draft: Draft) -> dict[str, float]:
    """All features; each regression takes its own."""
    sure = [max(_LEAST, probability) for probability in draft.sure] or [0.5]
    spans = draft.reading.spans
    other = draft.written if draft.text != draft.written else (spans[0].text if spans else "")
    lead = spans[0].margin - spans[1].margin if len(spans) > 1 else 15.0
    return {
        "support": log_odds(draft.support),
        "nearest": draft.nearest,
        "told": -log_odds(draft.reading.no_answer),
        "least": log_odds(min(sure)),
        "mean": sum(map(math.log, sure)) / len(sure),
        "unanswerable": log_odds(draft.unanswerable or 0.0),
        "agrees": agreement(draft.text, other) if other else 0.0,
        "near": max((agreement(draft.written, span.text) for span in spans), default=0.0) if draft.written else 0.0,
        "lead": min(15.0, lead) / 5,
        "long": math.log1p(len(draft.text.split())),
    }
