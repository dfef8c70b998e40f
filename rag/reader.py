"""The reader: the span of the passages that answers a question, with its exact characters, or that there is none.

A small encoder with a span head (lm/pair_encoder.py, train/reader.py). It copies and never writes, so its answer is
evidence by itself. Long passages are read in windows that overlap; every window of every passage runs in one batch.

A span's margin is its start and end logits less those of "no answer" in the same window (Devlin et al., "BERT", 2019,
section 4.3). Probabilities are a softmax over the margins of the best spans and one bias for "none", both over a
temperature; bias and temperature are fitted on dev files and stand in the model's card.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rag.pair_model import PairModel
from rag.pair_tokens import Pair, PairTokenizer, Pieces, token_windows
from rag.types import Passage

HEAD = "span"
MAX_TOKENS = 320
OVERLAP = 96
MAX_QUESTION = 64  # tokens; the last ones of a longer question are read, where conversations ask
MAX_ANSWER = 48  # tokens
MAX_WINDOWS = 512  # of all passages together; megabytes beyond are not read
_CANDIDATES = 24  # starts and ends that are paired in a window

Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Span:
    """An answer: characters [start, end) of passage number ``passage``, its text, margin, and probability in [0, 1]."""

    passage: int
    start: int
    end: int
    text: str
    margin: float
    probability: float


@dataclass(frozen=True, slots=True)
class Reading:
    """``no_answer``: the probability in [0, 1] that the passages do not tell. ``spans``: best first, apart."""

    no_answer: float
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """A row to run, of passage number ``passage``, and the characters of each of its passage tokens, (N, 2)."""

    pair: Pair
    passage: int
    spans: NDArray[np.int64]


class Runs(Protocol):
    """What runs rows: the OpenVINO graph when serving, torch while training."""

    def run(self, pairs: Sequence[Pair]) -> list[tuple[Any, ...]]:
        """For each pair the logits (T, 2) of its tokens as first and last of the answer."""
        ...


@dataclass(frozen=True, slots=True)
class Calibration:
    """Temperature, above 0, and the margin from which on an answer is likelier than none."""

    temperature: float = 1.0
    bias: float = 0.0


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads passages for a question."""

    model: Runs
    tokenizer: PairTokenizer
    calibration: Calibration
    name: str
    fingerprint: str

    @classmethod
    def load(cls, folder: Path, threads: int = 0) -> Reader:
        """The reader of a folder in HOME/models. Raises ModelMissing, ModelBroken."""
        model = PairModel(folder, HEAD, threads)
        return cls(model, model.tokenizer, Calibration(**model.card.calibration), model.card.name, model.fingerprint)

    def read(self, question: str, passages: Sequence[Passage], n_best: int = 5) -> Reading:
        """The best spans of all passages. Without words to ask or to read: no spans, and no_answer is 1.

        At most MAX_WINDOWS windows are read, the passages' beginnings first. Equal input gives equal output.
        """
        texts = [passage.text for passage in passages]
        windows = make_windows(self.tokenizer, question, texts)
        outputs = self.model.run([window.pair for window in windows])
        found = [
            spot for window, (logits, *_) in zip(windows, outputs, strict=True) for spot in best_spans(window, logits)
        ]
        return rate(_distinct(found)[: max(1, n_best)], texts, self.calibration)


def make_windows(tokenizer: PairTokenizer, question: str, texts: Sequence[str]) -> list[Window]:
    """The rows of a question over passages, the first windows of all passages first; none without words."""
    asked = tokenizer.read([question])[0]
    asked = asked.cut(max(0, len(asked) - MAX_QUESTION), len(asked))
    if not len(asked):
        return []
    room = MAX_TOKENS - len(asked) - 3
    found: list[tuple[int, Window]] = []
    for number, pieces in enumerate(_read_some(tokenizer, texts, room)):
        for turn, (first, last) in enumerate(token_windows(len(pieces), room, OVERLAP)):
            part = pieces.cut(first, last)
            if len(part):
                pair = tokenizer.pair(asked.ids, asked.ids[:0], part.ids)
                found.append((turn, Window(pair, number, part.spans)))
    found.sort(key=lambda item: item[0])
    return [window for _, window in found[:MAX_WINDOWS]]


def best_spans(window: Window, logits: Logits) -> list[tuple[float, int, int, int]]:
    """(margin, passage, start, end) of the best spans of a window, best first; ``logits`` (T, 2)."""
    first = window.pair.second_at
    starts, ends = logits[first : first + len(window.spans), 0], logits[first : first + len(window.spans), 1]  # (N,)
    none = float(logits[0, 0] + logits[0, 1])
    best_starts = np.argsort(-starts, kind="stable")[:_CANDIDATES]
    best_ends = np.argsort(-ends, kind="stable")[:_CANDIDATES]
    lengths = best_ends[None, :] - best_starts[:, None]  # (S, E)
    sums = starts[best_starts][:, None] + ends[best_ends][None, :]  # (S, E)
    sums = np.where((lengths >= 0) & (lengths < MAX_ANSWER), sums, -np.inf)
    found = []
    for place in np.argsort(-sums, axis=None, kind="stable")[:_CANDIDATES]:
        row, column = divmod(int(place), sums.shape[1])
        if not np.isfinite(sums[row, column]):
            break
        start, end = int(window.spans[best_starts[row], 0]), int(window.spans[best_ends[column], 1])
        if end > start:
            found.append((float(sums[row, column]) - none, window.passage, start, end))
    return found


def rate(found: Sequence[tuple[float, int, int, int]], texts: Sequence[str], calibration: Calibration) -> Reading:
    """Probabilities for distinct spans; those after the first share what "none" and it leave."""
    if not found:
        return Reading(1.0)
    scores = np.array([0.0, *(margin - calibration.bias for margin, *_ in found)]) / calibration.temperature
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    spans = tuple(
        Span(passage, start, end, texts[passage][start:end], margin, float(share))
        for (margin, passage, start, end), share in zip(found, shares[1:], strict=True)
    )
    # "None" is weighed against the best span alone: a second way to say it is no reason for more doubt in either.
    return Reading(no_answer(found[0][0], calibration), spans)


def no_answer(margin: float, calibration: Calibration) -> float:
    """The probability in (0, 1) that there is none, where the best span has this margin."""
    score = (margin - calibration.bias) / calibration.temperature
    return 1 / (1 + math.exp(max(-60.0, min(60.0, score))))


def _distinct(found: list[tuple[float, int, int, int]]) -> list[tuple[float, int, int, int]]:
    """Best first, without those that overlap a better one."""
    kept: list[tuple[float, int, int, int]] = []
    for spot in sorted(found, key=lambda one: (-one[0], one[1:])):
        if all(spot[1] != one[1] or spot[2] >= one[3] or spot[3] <= one[2] for one in kept):
            kept.append(spot)
    return kept


def _read_some(tokenizer: PairTokenizer, texts: Sequence[str], room: int) -> list[Pieces]:
    """Tokens of each text, of a text of megabytes those that can be read at all."""
    longest = MAX_WINDOWS * room * 8  # characters; a token has seldom more than 8
    return tokenizer.read([text[:longest] for text in texts])
