"""Whether the passages answer the question at all, once an answer was tried: reader, generator and words, weighed.

Before a word is written only the reranker can say, and what people wrote to mislead deceives it (docs/benchmarks.md).
Afterwards more is known: how far the reader's best span stands above "no answer", how surely the generator wrote and
whether both say the same, and which of the question's words stand nowhere in the passages, or not in the sentence that
seems to answer; a negation on one side alone turns the meaning. A logistic regression weighs these, fitted on dev
questions by benchmarks/fit_answered.py and kept as models/answerable-check/answerable.json.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rag import answer_support
from rag.answer_support import Draft
from rag.reader import Reading
from rag.sentences import sentences
from rag.types import ModelBroken, ModelMissing
from rag.verify import LinearCheck, linear_check
from rag.words import join_words, read_words

ANSWERABLE_FILE = "answerable.json"
_DRAFT = ("nearest", "told", "least", "mean", "unanswerable", "agrees", "lead")
FEATURES = (*_DRAFT, "absent", "apart", "negated", "turned")


@dataclass(frozen=True, slots=True)
class Answerability:
    """The fitted regression."""

    check: LinearCheck
    fingerprint: str

    @classmethod
    def load(cls, path: Path) -> Answerability:
        """Raises ModelMissing without the file, ModelBroken where it is not what the fitting script writes."""
        try:
            content = path.read_bytes()
            check = linear_check(json.loads(content), FEATURES)
        except FileNotFoundError:
            raise ModelMissing(f"{path}: no such file; fit it with benchmarks/fit_answered.py") from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelBroken(
                f"{path}: no such regression ({error!r}); fit it with benchmarks/fit_answered.py"
            ) from error
        return cls(check, hashlib.sha256(content).hexdigest()[:12])

    def probability(self, asked: str, texts: Sequence[str], draft: Draft) -> float:
        """In (0, 1), that ``texts`` answer ``asked``; the draft is what was written, or the refusal."""
        return self.check.probability(features(asked, texts, draft))


def features(asked: str, texts: Sequence[str], draft: Draft) -> dict[str, float]:
    """FEATURES of a question over the texts that reader and generator read.

    ``absent`` and ``apart``: the shares of the question's words that the texts, and the sentence with the reader's best
    span, lack. ``negated``: 1 for a question with a negation; ``turned``: 1 where it or that sentence alone has one.
    """
    question = read_words(asked)
    whole = join_words([read_words(text) for text in texts]).stems
    near = read_words(_sentence(texts, draft.reading))
    told = answer_support.features(draft)
    return {name: told[name] for name in _DRAFT} | {
        "absent": len(question.stems - whole) / max(1, len(question.stems)),
        "apart": len(question.stems - near.stems) / max(1, len(question.stems)),
        "negated": float(question.negated),
        "turned": float(question.negated != near.negated),
    }


def _sentence(texts: Sequence[str], reading: Reading) -> str:
    """The sentence that holds the start of the reader's best span; nothing where there is none."""
    if not reading.spans:
        return ""
    best = reading.spans[0]
    text = texts[best.passage]
    return next((text[start:end] for start, end in sentences(text) if start <= best.start < end), best.text)
