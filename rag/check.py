"""The trained check: a small encoder reads claim and passage together, and a fitted combiner says how probable it is.

For each claim the likeliest windows of the passages (rag/check_windows.py) are judged at once: supported, contradicted,
or not in the passage (train/verifier.py). A statement that repeats its question is read without it. The best window's
sentences are then judged one by one, so that evidence is a sentence where one is enough. Exact checks (numbers, names,
negation, quotations, what lies in one line) and the reader's view go with the model's chances as features into a
logistic regression (rag/combine.py): nothing overrides, everything weighs. The token head marks which words of a claim
are not supported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.check_windows import Ranking, TextWindow, claim_parts, text_windows
from rag.combine import Combiner, Signals, View, features, is_statement
from rag.pair_model import PairModel
from rag.pair_tokens import Pair, PairTokenizer, Pieces
from rag.reader import Reader, Reading, Runs
from rag.types import Passage, Verdict
from rag.verify import Evidence, Judgement
from rag.words import read_words

HEAD = "check"
MAX_TOKENS, MAX_QUESTION, MAX_CLAIM = 320, 64, 110
MAX_WINDOWS = 4  # windows judged for a claim
_CLAIMS_AT_ONCE = 64
_MAX_EVIDENCE = 2
_ENOUGH = 0.85  # of the best window's support: a sentence that has it is evidence by itself
_WRONG_WORD = 0.5
_NO_WORDS = Judgement(0.0, Verdict.UNSUPPORTED)

Chances = NDArray[np.float64]
_Spot = tuple[int, int, int]  # passage number, and characters [start, end) of its text


@dataclass(frozen=True, slots=True)
class Judged:
    """A window, or sentences, judged for a part of a claim: chances (3,) supported, contradicted, not there.

    ``wrong`` (T,) is how probable each token of the claim is not supported.
    """

    passage: int
    start: int
    end: int
    chances: Chances
    wrong: Chances = field(default_factory=lambda: np.zeros(0))

    @property
    def support(self) -> float:
        """The chance that the claim is supported."""
        return float(self.chances[0])


@dataclass(frozen=True, slots=True)
class _Part:
    """A claim, or a clause of a long one, the question that it is read with, and the windows chosen for it."""

    claim: int
    start: int
    pieces: Pieces
    asked: Pieces
    windows: tuple[TextWindow, ...]


@dataclass(frozen=True, slots=True)
class _Task:
    """What some claims are judged by: the question as text and tokens, passages, windows, the reader's view."""

    claims: Sequence[str]
    passages: Sequence[Passage]
    question: str
    asked: Pieces
    ranking: Ranking
    reading: Reading | None


@dataclass(frozen=True, slots=True)
class TrainedVerifier:
    """See rag.verify.Verifier. ``reader`` is asked once a question, for its agreement; None leaves that out."""

    model: Runs
    tokenizer: PairTokenizer
    combiner: Combiner
    reader: Reader | None
    name: str
    fingerprint: str

    @classmethod
    def load(cls, folder: Path, combiner: Path, reader: Reader | None, threads: int = 0) -> TrainedVerifier:
        """The check in ``folder`` of HOME/models with the fitted numbers in ``combiner``.

        Raises ModelMissing, ModelBroken.
        """
        return cls.load_with(folder, Combiner.load(combiner), reader, threads)

    @classmethod
    def load_with(cls, folder: Path, combiner: Combiner, reader: Reader | None, threads: int = 0) -> TrainedVerifier:
        """The same with these numbers. Raises ModelMissing, ModelBroken."""
        model = PairModel(folder, HEAD, threads)
        parts = f"{model.fingerprint}|{combiner.fingerprint}|{reader.fingerprint if reader else ''}"
        mark = hashlib.sha256(parts.encode()).hexdigest()[:12]
        return cls(model, model.tokenizer, combiner, reader, model.card.name, mark)

    def verify(self, claims: Sequence[str], passages: Sequence[Passage], question: str) -> list[Judgement]:
        """See Verifier. A claim without words, or no passage with any: unsupported, 0, no evidence.

        A claim longer than a row is judged by its clauses, and has the support of the weakest.
        """
        task = self._task(claims, passages, question)
        if not task.ranking.windows:
            return [_NO_WORDS] * len(claims)
        different = list(dict.fromkeys(claims))  # answers and pasted texts repeat themselves
        judged: dict[str, Judgement] = {}
        for begin in range(0, len(different), _CLAIMS_AT_ONCE):
            some = replace(task, claims=different[begin : begin + _CLAIMS_AT_ONCE])
            judged |= zip(some.claims, self._some(some), strict=True)
        return [judged[claim] for claim in claims]

    def signals(self, claims: Sequence[str], passages: Sequence[Passage], question: str) -> list[list[Signals]]:
        """What the combiner is told of each claim, by part; for fitting it. Nothing for claims without words."""
        task = self._task(claims, passages, question)
        parts = self._parts(task)
        found: list[list[Signals]] = [[] for _ in claims]
        for part, judged in zip(parts, self._judge(parts, task), strict=True):
            found[part.claim].append(_signals(part, judged, task))
        return found

    def _task(self, claims: Sequence[str], passages: Sequence[Passage], question: str) -> _Task:
        ranking = Ranking.of(text_windows([passage.text for passage in passages]))
        asked = self.tokenizer.read([question])[0]
        asked = asked.cut(max(0, len(asked) - MAX_QUESTION), len(asked))
        reading = self.reader.read(question, passages) if self.reader and len(asked) else None
        return _Task(claims, passages, question, asked, ranking, reading)

    def _some(self, task: _Task) -> list[Judgement]:
        parts = self._parts(task)
        found: list[list[Judgement]] = [[] for _ in task.claims]
        for part, judged in zip(parts, self._judge(parts, task), strict=True):
            found[part.claim].append(self._judgement(part, judged, _signals(part, judged, task)))
        return [_weakest(each) if each else _NO_WORDS for each in found]

    def _parts(self, task: _Task) -> list[_Part]:
        spans = [(number, start, end) for number, claim in enumerate(task.claims) for start, end in claim_parts(claim)]
        texts = [task.claims[number][start:end] for number, start, end in spans]
        asked = read_words(task.question).stems
        parts = []
        for (number, start, _), text, pieces in zip(spans, texts, self.tokenizer.read(texts), strict=True):
            if len(pieces) and any(character.isalnum() for character in text):
                stems = read_words(text).stems
                chosen = tuple(task.ranking.windows[place] for place in task.ranking.best(stems | asked, MAX_WINDOWS))
                question = task.asked.cut(0, 0) if is_statement(stems, asked) else task.asked
                parts.append(_Part(number, start, pieces.cut(0, MAX_CLAIM), question, chosen))
        return parts if task.ranking.windows else []

    def _judge(self, parts: Sequence[_Part], task: _Task) -> list[list[Judged]]:
        """For each part: its windows, best first, then the sentences of the best one, best first."""
        places = [[(window.passage, window.start, window.end) for window in part.windows] for part in parts]
        windows = [sorted(judged, key=lambda one: -one.support) for judged in self._run(parts, places, task)]
        inside = [_sentences_of(part, judged[0]) for part, judged in zip(parts, windows, strict=True)]
        singles = [sorted(judged, key=lambda one: -one.support) for judged in self._run(parts, inside, task)]
        return [[*first, *second] for first, second in zip(windows, singles, strict=True)]

    def _run(self, parts: Sequence[_Part], places: Sequence[Sequence[_Spot]], task: _Task) -> list[list[Judged]]:
        """Each part's claim judged by each of its places, in one batch."""
        spots = sorted({spot for each in places for spot in each})
        texts = [task.passages[number].text[start:end] for number, start, end in spots]
        read = dict(zip(spots, self.tokenizer.read(texts), strict=True))
        rows: list[Pair] = []
        for part, each in zip(parts, places, strict=True):
            room = MAX_TOKENS - len(part.asked) - len(part.pieces) - 4
            rows += [self.tokenizer.pair(part.asked.ids, part.pieces.ids, read[spot].ids[:room]) for spot in each]
        outputs = iter(zip(rows, self.model.run(rows), strict=True))
        return [[_judged(spot, *next(outputs)) for spot in each] for each in places]

    def _judgement(self, part: _Part, judged: Sequence[Judged], told: Signals) -> Judgement:
        support = self.combiner.support(told)
        windows, singles = judged[: len(part.windows)], judged[len(part.windows) :]
        evidence = _evidence(windows, singles, support)
        if support >= self.combiner.threshold(told):
            return Judgement(support, Verdict.SUPPORTED, evidence)
        against = max(float(one.chances[1]) for one in windows)
        contradicted = against > 0.5 and against > max(one.support for one in windows)
        verdict = Verdict.CONTRADICTED if contradicted else Verdict.UNSUPPORTED
        return Judgement(support, verdict, evidence, _wrong_spans(part, windows[0].wrong))


def _sentences_of(part: _Part, best: Judged) -> list[_Spot]:
    """The sentences of the window ``best``; none where it is just one."""
    window = next(one for one in part.windows if (one.passage, one.start) == (best.passage, best.start))
    return [(window.passage, *span) for span in window.sentences] if len(window.sentences) > 1 else []


def _judged(spot: _Spot, row: Pair, outputs: tuple[Any, ...]) -> Judged:
    labels, words = outputs
    words = words[row.claim_at : row.second_at - 1].astype(np.float64)
    wrong = 1 / (1 + np.exp(-np.clip(words, -60, 60)))
    return Judged(*spot, _softmax(labels), wrong)


def _signals(part: _Part, judged: Sequence[Judged], task: _Task) -> Signals:
    claim = task.claims[part.claim][part.start : part.start + int(part.pieces.spans[-1, 1])]
    windows, singles = judged[: len(part.windows)], judged[len(part.windows) :]
    view = View(
        shown=[task.passages[one.passage].text[one.start : one.end] for one in windows[:2]],
        windows=[tuple(one.chances.tolist()) for one in windows],
        sentences=[one.support for one in singles],
        titles=[task.passages[one.passage].title for one in windows[:2]],
    )
    return features(claim, task.question, view, task.reading)


def _evidence(windows: Sequence[Judged], singles: Sequence[Judged], support: float) -> tuple[Evidence, ...]:
    """One sentence where it is enough, two where they are better; else the best window."""
    best = windows[0]
    if not singles:
        return (Evidence(best.passage, best.start, best.end, support),)
    enough = singles[0].support >= _ENOUGH * best.support
    chosen = singles[:1] if enough else singles[:_MAX_EVIDENCE]
    top = max(chosen[0].support, 1e-9)
    return tuple(Evidence(one.passage, one.start, one.end, min(1.0, support * one.support / top)) for one in chosen)


def _wrong_spans(part: _Part, wrong: Chances) -> tuple[tuple[int, int], ...]:
    """Runs of claim tokens that are probably not supported, as characters of the claim; the likeliest one at least."""
    spans = part.pieces.spans
    marked = wrong[: len(spans)] >= _WRONG_WORD
    if not marked.any() and len(marked):
        marked = np.arange(len(marked)) == int(np.argmax(wrong[: len(spans)]))
    found: list[tuple[int, int]] = []
    for (start, end), is_wrong, before in zip(spans.tolist(), marked, [False, *marked[:-1]], strict=True):
        if is_wrong and before:
            found[-1] = (found[-1][0], part.start + end)
        elif is_wrong:
            found.append((part.start + start, part.start + end))
    return tuple(found)


def _weakest(parts: Sequence[Judgement]) -> Judgement:
    """The judgement of a claim from those of its clauses: the least support, the worst verdict, all evidence."""
    weakest = min(parts, key=lambda one: one.support)
    if len(parts) == 1:
        return weakest
    against = next((one for one in parts if one.verdict is Verdict.CONTRADICTED), weakest)
    evidence = dict.fromkeys(spot for one in parts for spot in one.evidence)
    wrong = tuple(span for one in parts for span in one.unsupported)
    return Judgement(weakest.support, against.verdict, tuple(evidence)[: 2 * _MAX_EVIDENCE], wrong)


def _softmax(logits: NDArray[np.float32]) -> Chances:
    shares = np.exp(logits.astype(np.float64) - float(logits.max()))
    chances: Chances = shares / shares.sum()
    return chances
