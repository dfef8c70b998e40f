"""Whether the passages answer the question at all, once an answer was tried: reader and generator weighed together.

Before a word is written only the reranker can say, and what people wrote to mislead deceives it (docs/benchmarks.md).
Afterwards more is known: how far the reader's best span stands above "no answer" and above the next one, how probable
the generator held a refusal, and whether both say the same; and questions with a negation seldom have their answer in
so many words. Two logistic regressions weigh these, one for questions by themselves and one for turns of conversations,
fitted on dev questions by benchmarks/fit_answered.py and kept as models/answerable-check/answerable.json.

How many of the question's words the passages lack is left out on purpose: questions written to mislead copy the
passage, so that on such data lacking words would speak for an answer, and on others against it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rag import answer_support
from rag.answer_support import Draft
from rag.types import ModelBroken, ModelMissing
from rag.verify import LinearCheck, linear_check
from rag.words import read_words

ANSWERABLE_FILE = "answerable.json"
_DRAFT = ("nearest", "told", "unanswerable", "agrees", "lead")
FEATURES = (*_DRAFT, "negated")
KINDS = ("question", "turn")


@dataclass(frozen=True, slots=True)
class Answerability:
    """The fitted regressions, by kind of question."""

    checks: Mapping[str, LinearCheck]

    @classmethod
    def load(cls, path: Path) -> Answerability:
        """Raises ModelMissing without the file, ModelBroken where it is not what the fitting script writes."""
        try:
            fields = json.loads(path.read_bytes())
            checks = {kind: linear_check(fields[kind], FEATURES) for kind in KINDS}
        except FileNotFoundError:
            raise ModelMissing(f"{path}: no such file; fit it with benchmarks/fit_answered.py") from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelBroken(
                f"{path}: no such regressions ({error!r}); fit it with benchmarks/fit_answered.py"
            ) from error
        return cls(checks)

    def probability(self, asked: str, draft: Draft, turn: bool) -> float:
        """In (0, 1), that the passages answer ``asked``; the draft is what the generator wrote, or its refusal.

        ``turn``: whether the question is one of a conversation.
        """
        return self.checks[kind_of(turn)].probability(features(asked, draft))


def kind_of(turn: bool) -> str:
    """Which regression weighs it."""
    return "turn" if turn else "question"


def features(asked: str, draft: Draft) -> dict[str, float]:
    """FEATURES: those of rag/answer_support.py, and ``negated``, 1 for a question with a negation."""
    told = answer_support.features(draft)
    return {name: told[name] for name in _DRAFT} | {"negated": float(read_words(asked).negated)}
