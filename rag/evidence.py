"""Where in the passages a claim would stand, and by which plain signals: the features of the baseline check.

Sentences are encoded once a call, whatever the number of claims; a window of one to three neighbouring sentences takes
the mean of their vectors. For each claim and passage the window that shares most with the claim is chosen first, and
its features are computed then, so that the costly part runs once a claim and passage.

    S sentences of all passages, W windows of one passage, D vector size
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.encode import Encoder
from rag.sentences import sentences
from rag.words import Words, join_words, read_words

WINDOW_SENTENCES = 3
FRAGMENT_WORDS = 8
_SLIP_OVERLAP = 0.6
_NEAR_TOKENS = 12
_LONG_WINDOW_COST = 0.04

_SHARED = (
    "overlap",  # share of the claim's stems that the window holds
    "overlap_passage",  # the same for the whole passage
    "cosine",  # claim against window
    "numbers_absent",  # share of the claim's numbers, with their units, that the passage lacks
    "names_absent",  # share of the claim's names that the window lacks
    "missing",  # log(1 + stems of the claim that the window lacks)
)
SENTENCE_FEATURES = (
    *_SHARED,
    "negation_differs",  # 1 where exactly one of the claim and its nearest sentence is negated
    "all_found",  # 1 where every stem of the claim is in the window, and numbers, names and negation agree
    "slip",  # 1 where three of five stems are, but a number, a name or the negation is not: a copy with an error
)
ANSWER_FEATURES = (
    *_SHARED,
    "contained",  # 1 where the window holds the answer word for word
    "question_overlap",  # share of the question's stems that the window holds
    "question_near",  # share of them within twelve words of the answer
    "question_cosine",  # question against window
    "kind_differs",  # 1 where the question asks for a number or name and the answer has none
    "answer_asked",  # share of the answer's stems that the question itself holds
    "yes_no",  # 1 for an answer of yes or no, which no word overlap can judge
)
_NUMBER_QUESTIONS = (" how many ", " how much ", " when ", " what year ", " which year ", " how old ", " how long ")
_NAME_QUESTIONS = (" who ", " whose ", " whom ", " where ")


@dataclass(frozen=True, slots=True)
class PassageView:
    """A passage cut into sentences: ``spans`` are [start, end) in its text, ``vectors`` is (sentences, D)."""

    spans: tuple[tuple[int, int], ...]
    words: tuple[Words, ...]
    vectors: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ClaimView:
    """A claim to place. A fragment ("1901") is read with its question: ``vector`` (D,) is then that of both."""

    words: Words
    vector: NDArray[np.float32]
    question: Words
    question_vector: NDArray[np.float32]
    is_fragment: bool


@dataclass(frozen=True, slots=True)
class Placement:
    """The window of a passage that fits a claim best: sentences [first, last], characters [start, end), features.

    ``nearest`` is the one sentence of the window that shares most stems with the claim, the shortest of equals.
    """

    first: int
    last: int
    start: int
    end: int
    features: Mapping[str, float]
    nearest: Words


def is_fragment(claim: str, question: str) -> bool:
    """Whether a claim is too short to stand without the question that it answers."""
    return bool(question.strip()) and len(claim.split()) <= FRAGMENT_WORDS


def view(
    claims: Sequence[str], passages: Sequence[str], question: str, encoder: Encoder
) -> tuple[list[ClaimView], list[PassageView]]:
    """Reads and encodes claims and passages, with one call of the encoder."""
    spans = [sentences(passage) for passage in passages]
    texts = [passage[start:end] for passage, cut in zip(passages, spans, strict=True) for start, end in cut]
    fragments = [is_fragment(claim, question) for claim in claims]
    asked = [f"{question} {claim}" if short else claim for claim, short in zip(claims, fragments, strict=True)]
    vectors = encoder.encode([*texts, *asked, question])  # (S + claims + 1, D)
    question_words, question_vector = read_words(question), vectors[-1]
    claim_views = [
        ClaimView(read_words(claim), vector, question_words, question_vector, short)
        for claim, vector, short in zip(claims, vectors[len(texts) : -1], fragments, strict=True)
    ]
    passage_views, begin = [], 0
    for cut in spans:
        words = tuple(read_words(text) for text in texts[begin : begin + len(cut)])
        passage_views.append(PassageView(tuple(cut), words, vectors[begin : begin + len(cut)]))
        begin += len(cut)
    return claim_views, passage_views


def place(claim: ClaimView, passage: PassageView) -> Placement | None:
    """The best window of the passage and its features; None for a passage without sentences."""
    if not passage.spans:
        return None
    windows = _windows(len(passage.spans))  # (W, 2)
    vectors = _window_vectors(passage.vectors, windows)  # (W, D)
    fit = _shares(claim.words.stems, passage.words, windows) + 0.5 * (vectors @ claim.vector)  # (W,)
    if claim.is_fragment:
        fit += 0.5 * _shares(claim.question.stems, passage.words, windows)
    best = int(np.argmax(fit - _LONG_WINDOW_COST * (windows[:, 1] - windows[:, 0])))
    first, last = int(windows[best, 0]), int(windows[best, 1])
    window = passage.words[first : last + 1]
    words = join_words(list(window))
    nearest = max(window, key=lambda one: (len(claim.words.stems & one.stems), -len(one.stems)))
    features = _shared_features(claim, passage, words, vectors[best])
    if claim.is_fragment:
        features |= _answer_features(claim, words, vectors[best])
    else:
        features |= _agreement_features(claim.words, nearest, words)
    return Placement(first, last, passage.spans[first][0], passage.spans[last][1], features, nearest)


def _shared_features(
    claim: ClaimView, passage: PassageView, window: Words, vector: NDArray[np.float32]
) -> dict[str, float]:
    whole = join_words(list(passage.words))
    ours = claim.words
    return {
        "overlap": _share(ours.stems, window.stems),
        "overlap_passage": _share(ours.stems, whole.stems),
        "cosine": float(vector @ claim.vector),
        "numbers_absent": numbers_absent(ours, whole),
        "names_absent": 1 - _share(ours.names, window.stems) if ours.names else 0.0,
        "missing": float(np.log1p(len(ours.stems - window.stems))),
    }


def _agreement_features(claim: Words, nearest: Words, window: Words) -> dict[str, float]:
    """What a weighted sum of the other features cannot say: all of it agrees, or all but one detail does."""
    differs = claim.negated != (window.negated if claim.negated else nearest.negated)
    details = differs or numbers_absent(claim, window) > 0 or not claim.names <= window.stems
    return {
        "negation_differs": float(differs),
        "all_found": float(not details and claim.stems <= window.stems),
        "slip": float(details and _share(claim.stems, window.stems) >= _SLIP_OVERLAP),
    }


def _answer_features(claim: ClaimView, window: Words, vector: NDArray[np.float32]) -> dict[str, float]:
    ours, asked = claim.words, claim.question
    return {
        "contained": float(ours.line in window.line),
        "question_overlap": _share(asked.stems, window.stems),
        "question_near": _near(ours, asked, window),
        "question_cosine": float(vector @ claim.question_vector),
        "kind_differs": _kind_differs(ours, asked),
        "answer_asked": _share(ours.stems, asked.stems),
        "yes_no": float(ours.line.strip() in ("yes", "no")),
    }


def numbers_absent(claim: Words, evidence: Words) -> float:
    """Share of the claim's numbers that the evidence lacks, or has with other units only; 0 without numbers."""
    if not claim.numbers:
        return 0.0
    absent = claim.numbers - evidence.numbers
    units = dict(claim.quantities)
    for number in claim.numbers - absent:
        others = {unit for value, unit in evidence.quantities if value == number}
        if number in units and others and units[number] not in others:
            absent |= {number}
    return len(absent) / len(claim.numbers)


def _near(answer: Words, question: Words, window: Words) -> float:
    """Share of the question's stems among the words around the answer; 0 where the answer is not there."""
    place_of = window.line.find(answer.line)
    if place_of < 0:
        return 0.0
    before = window.line[:place_of].split()[-_NEAR_TOKENS:]
    after = window.line[place_of + len(answer.line) :].split()[:_NEAR_TOKENS]
    return _share(question.stems, read_words(" ".join(before + after)).stems)


def _kind_differs(answer: Words, question: Words) -> float:
    line = f" {question.line.strip()} "
    if any(words in line for words in _NUMBER_QUESTIONS):
        return float(not answer.numbers)
    return float(any(words in line for words in _NAME_QUESTIONS) and not answer.names)


def _share(
    part: frozenset[str] | frozenset[tuple[str, str]], whole: frozenset[str] | frozenset[tuple[str, str]]
) -> float:
    return len(part & whole) / len(part) if part else 0.0


def _windows(count: int) -> NDArray[np.intp]:
    """First and last sentence of every run of one to three sentences, shape (W, 2)."""
    runs = [(first, last) for first in range(count) for last in range(first, min(first + WINDOW_SENTENCES, count))]
    return np.array(runs, dtype=np.intp)


def _window_vectors(vectors: NDArray[np.float32], windows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Unit mean vectors of the windows, (W, D), from running sums over the sentences."""
    sums = np.concatenate([np.zeros_like(vectors[:1]), np.cumsum(vectors, axis=0)])  # (sentences + 1, D)
    means = sums[windows[:, 1] + 1] - sums[windows[:, 0]]
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    unit: NDArray[np.float32] = means / np.maximum(norms, 1e-9)
    return unit


def _shares(stems: frozenset[str], words: Sequence[Words], windows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Share of ``stems`` in each window, (W,)."""
    if not stems:
        return np.zeros(len(windows))
    held = np.array([[stem in word.stems for stem in sorted(stems)] for word in words])  # (sentences, stems)
    sums = np.concatenate([np.zeros((1, held.shape[1]), dtype=np.int64), np.cumsum(held, axis=0)])
    share: NDArray[np.float64] = ((sums[windows[:, 1] + 1] - sums[windows[:, 0]]) > 0).mean(axis=1)
    return share
