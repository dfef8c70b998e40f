"""Whether the passages answer the question at all, once an answer was tried: reader and generator weighed together.

Before a word is written only the reranker can say, and what people wrote to mislead deceives it (docs/benchmarks.md).
Afterwards more is known: how far the reader's best span stands above "no answer" and above the next one, how probable
the generator held a refusal, and whether both say the same; and questions with a negation seldom have their answer in
so many words, whatever the sentence pointed at says. Two logistic regressions weigh these, one for questions by
themselves and one for turns of conversations, fitted on dev questions by benchmarks/fit_answered.py and kept as
models/answerable-check/answerable.json.

How many of the question's words the passages lack is left out on purpose: questions written to mislead copy the
passage, so that on such data lacking words would speak for an answer, and on others against it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rag import answer_support
from rag.answer_support import Draft
from rag.reader import Span
from rag.sentences import sentences
from rag.types import ModelBroken, ModelMissing, Passage
from rag.verify import LinearCheck, linear_check
from rag.words import read_words

ANSWERABLE_FILE = "answerable.json"
_DRAFT = ("nearest", "told", "unanswerable", "agrees", "lead")
FEATURES = (*_DRAFT, "negated", "turned")
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
                f"{path}: no such regressions ({error!r}); remove it and fit it with benchmarks/fit_answered.py"
            ) from error
        return cls(checks)

    def probability(self, signals: Mapping[str, float], turn: bool) -> float:
        """In (0, 1), that the passages answer, from FEATURES; ``turn``: whether it is asked in a conversation."""
        return self.checks[kind_of(turn)].probability(signals)


def kind_of(turn: bool) -> str:
    """Which regression weighs it."""
    return "turn" if turn else "question"


def features(asked: str, draft: Draft, passages: Sequence[Passage]) -> dict[str, float]:
    """FEATURES of a question and what the generator wrote to it, or its refusal.

    Those of rag/answer_support.py; ``negated``: 1 for a question with a negation; ``turned``: 1 where either the
    question or the sentence of the reader's span has one, not both.
    """
    told, spans = answer_support.features(draft), draft.reading.spans
    negated = read_words(asked).negated
    turned = bool(spans) and negated != _sentence_negated(spans[0], passages)
    return {name: told[name] for name in _DRAFT} | {"negated": float(negated), "turned": float(turned)}


def _sentence_negated(span: Span, passages: Sequence[Passage]) -> bool:
    text = passages[span.passage].text
    return any(read_words(text[start:end]).negated for start, end in sentences(text) if start <= span.start < end)
