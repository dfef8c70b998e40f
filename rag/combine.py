"""From what a verifier's model, exact checks and the reader say of a claim to one calibrated probability.

Three logistic regressions, for claims without a question, for answers to one, and for statements that repeat it, fitted
on dev files by benchmarks/fit_check.py and kept as models/answerable-check/combiner.json, each with the support from
which a claim counts as supported. Each feature is a plain number that can be looked at; README.md beside the weights
has what they came to.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rag.alignment import FEATURES as ALIGNMENT
from rag.alignment import Lines, align
from rag.answers import normalise, token_f1
from rag.evidence import numbers_absent
from rag.reader import Reading
from rag.types import ModelBroken, ModelMissing
from rag.verify import LinearCheck, linear_check
from rag.words import join_words, read_words

COMBINER_FILE = "combiner.json"
FREE_FEATURES = (
    "support",  # log-odds of "supported" in the best window, within -6 and 6
    "sentence",  # the same for the best sentence of that window
    "second",  # the same for the second best window; -6 without one
    "against",  # log-odds of "contradicted", the highest of all windows
    "numbers_absent",  # share of the claim's numbers, with their units, that the best two windows lack
    "names_absent",  # share of its names that they lack
    "quotes_absent",  # 1 where it quotes what is not there word for word
    "overlap",  # share of its stems that they hold
    "negation_differs",  # 1 where it is negated and they are not
    "long",  # log(1 + its words)
)
ASKED_FEATURES = (
    *FREE_FEATURES,
    "reader_agrees",  # token F1 of the claim and the reader's best span, or 1 where one holds the other
    "reader_near",  # the most of that over its three best spans
    "reader_told",  # log-odds that the passages hold the answer
    "yes_no",  # 1 for an answer of yes or no, on which the reader has no say
)
STATED_FEATURES = (  # few: more of them fit the statements that rules make, and no others
    *("support", "sentence", "against", "numbers_absent", "names_absent", "quotes_absent", "overlap"),
    *ALIGNMENT,
    *("reader_agrees", "reader_near"),
)
FEATURES = {"free": FREE_FEATURES, "asked": ASKED_FEATURES, "stated": STATED_FEATURES}
_QUOTE = re.compile(r"[\"“]([^\"“”]{3,})[\"”]")
_BOUND = 6.0
_STATED = 0.3  # of the question's stems repeated: few short answers do, and nearly all statements

Signals = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Combiner:
    """The fitted regressions, by the kinds of FEATURES."""

    checks: Mapping[str, LinearCheck]
    fingerprint: str

    @classmethod
    def load(cls, path: Path) -> Combiner:
        """Raises ModelMissing without the file, ModelBroken where it is not what the fitting script writes."""
        try:
            content = path.read_bytes()
            fields = json.loads(content)
            checks = {kind: linear_check(fields[kind], names) for kind, names in FEATURES.items()}
        except FileNotFoundError:
            raise ModelMissing(f"{path}: no such file; fit it with benchmarks/fit_check.py") from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelBroken(f"{path}: no combiner ({error!r}); fit it with benchmarks/fit_check.py") from error
        return cls(checks, hashlib.sha256(content).hexdigest()[:12])

    def support(self, told: Signals) -> float:
        """The probability in (0, 1) that the claim is supported."""
        return self.checks[kind_of(told)].probability(told)

    def threshold(self, told: Signals) -> float:
        """The support from which on such a claim counts as supported."""
        return self.checks[kind_of(told)].threshold


def kind_of(told: Signals) -> str:
    """Which regression weighs them: "free" without a question, "stated" for a claim that repeats it, "asked"."""
    if "reader_told" not in told:
        return "free"
    return "stated" if told["repeats"] >= _STATED else "asked"


def is_statement(claim: frozenset[str], asked: frozenset[str]) -> bool:
    """Whether a claim repeats so much of its question that it can be judged without it; of stems."""
    return repeated(claim, asked) >= _STATED


def repeated(claim: frozenset[str], asked: frozenset[str]) -> float:
    """The share of the question's stems that a claim repeats, 0 without a question."""
    return len(claim & asked) / max(1, len(asked))


@dataclass(frozen=True, slots=True)
class View:
    """What the model saw. ``windows``: chances (supported, contradicted, not there), best first, one at least.

    ``shown``: the texts of the best two of them, ``titles`` those of their documents. ``sentences``: supports of the
    best one's sentences, best first; may be empty.
    """

    shown: Sequence[str]
    windows: Sequence[Sequence[float]]
    sentences: Sequence[float]
    titles: Sequence[str] = ()


def features(claim: str, question: str, view: View, reading: Reading | None) -> Signals:
    """The features of a claim; those of the reader come on top where there is a question and a ``reading``."""
    shown, windows = view.shown, view.windows
    ours, theirs = read_words(claim), join_words([read_words(text) for text in (*shown, *view.titles)])
    asked = read_words(question).stems
    support = log_odds(windows[0][0])
    told = {
        "support": support,
        "sentence": log_odds(view.sentences[0]) if view.sentences else support,
        "second": log_odds(windows[1][0]) if len(windows) > 1 else -_BOUND,
        "against": log_odds(max(window[1] for window in windows)),
        "numbers_absent": numbers_absent(ours, theirs),
        "names_absent": _absent(ours.names, theirs.stems),
        "quotes_absent": float(any(not _holds(shown, quote) for quote in _QUOTE.findall(claim))),
        "overlap": 1 - _absent(ours.stems, theirs.stems),
        "negation_differs": float(ours.negated and not theirs.negated),
        "long": math.log1p(len(claim.split())),
        **align(ours, asked, Lines.of(shown, view.titles)),
    }
    if reading is None or not question.strip():
        return told
    return told | _reader_features(claim, reading) | {"repeats": repeated(ours.stems, asked)}


def _reader_features(claim: str, reading: Reading) -> dict[str, float]:
    said = normalise(claim)
    agrees = [agreement(claim, span.text) for span in reading.spans[:3]]
    return {
        "reader_agrees": agrees[0] if agrees else 0.0,
        "reader_near": max(agrees, default=0.0),
        "reader_told": -log_odds(reading.no_answer),
        "yes_no": float(said in ("yes", "no")),
    }


def agreement(claim: str, span: str) -> float:
    """How far two short texts say the same, in [0, 1]: token F1, or 1 where one holds the other."""
    said, found = normalise(claim), normalise(span)
    if said and found and (f" {said} " in f" {found} " or f" {found} " in f" {said} "):
        return 1.0
    return token_f1(said, [span])


def log_odds(chance: float) -> float:
    """Of a chance in [0, 1], kept within -6 and 6."""
    kept = min(1 - 1e-9, max(1e-9, chance))
    return max(-_BOUND, min(_BOUND, math.log(kept / (1 - kept))))


def _absent(part: frozenset[str], whole: frozenset[str]) -> float:
    return len(part - whole) / len(part) if part else 0.0


def _holds(texts: Sequence[str], quote: str) -> bool:
    wanted = " ".join(quote.lower().split()).strip(" .,;:")
    return any(wanted in " ".join(text.lower().split()) for text in texts)
