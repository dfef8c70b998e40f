"""Which parts of the passages a claim is judged by: windows of whole sentences, the likeliest first; and long claims.

A passage that fits a row is one window; a longer one is cut into runs of sentences that share about a third with
their neighbours. Windows are ranked by the words they share with the claim, rare ones weighing more, so that of
megabytes only a few are read. Train and serve alike (train/verifier_rows.py).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rag.sentences import sentences
from rag.words import Words, join_words, read_words

WINDOW_CHARS = 1100  # about 230 tokens of English: the passages that ingest makes stay whole
MAX_CLAIM_CHARS = 420  # a longer claim is judged by its parts
_SHARED = 3  # a window begins after two thirds of the one before
_CLAUSE = re.compile(r"(?<=[;:,])\s+|\s+(?=(?:and|but|which|while|because)\b)")


@dataclass(frozen=True, slots=True)
class TextWindow:
    """Characters [start, end) of passage number ``passage``, the ``sentences`` in it (spans of the passage), words."""

    passage: int
    start: int
    end: int
    sentences: tuple[tuple[int, int], ...]
    words: Words


def text_windows(texts: Sequence[str], longest: int = WINDOW_CHARS) -> list[TextWindow]:
    """The windows of each text, in order; a text without words has none."""
    found: list[TextWindow] = []
    for number, text in enumerate(texts):
        spans = sentences(text)
        read = [read_words(text[start:end]) for start, end in spans]
        for first, last in _runs(spans, longest):
            words = join_words(read[first:last])
            found.append(TextWindow(number, spans[first][0], spans[last - 1][1], spans[first:last], words))
    return found


def _runs(spans: Sequence[tuple[int, int]], longest: int) -> list[tuple[int, int]]:
    """[first, last) sentences of each window; a sentence longer than a window is one by itself."""
    runs: list[tuple[int, int]] = []
    first = 0
    while first < len(spans):
        last = first + 1
        while last < len(spans) and spans[last][1] - spans[first][0] <= longest:
            last += 1
        runs.append((first, last))
        if last == len(spans):
            break
        first = max(first + 1, last - (last - first) // _SHARED)
    return runs


@dataclass(frozen=True, slots=True)
class Ranking:
    """Ranks windows for claims; counts once in how many windows a stem stands."""

    windows: Sequence[TextWindow]
    found_in: Counter[str]

    @classmethod
    def of(cls, windows: Sequence[TextWindow]) -> Ranking:
        """A ranking of these windows."""
        return cls(windows, Counter(stem for window in windows for stem in window.words.stems))

    def best(self, wanted: frozenset[str], most: int) -> list[int]:
        """Numbers of the ``most`` windows that share most with the stems ``wanted``; of equals, the first ones."""
        if len(self.windows) <= most:
            return list(range(len(self.windows)))
        count = len(self.windows)
        rare = {stem: math.log(1 + count / (1 + self.found_in[stem])) for stem in wanted}
        shared = [sum(rare[stem] for stem in wanted & window.words.stems) for window in self.windows]
        return sorted(range(count), key=lambda number: (-shared[number], number))[:most]


def claim_parts(claim: str, longest: int = MAX_CLAIM_CHARS) -> list[tuple[int, int]]:
    """[start, end) of the parts that a claim is judged by: the claim itself, or clauses of at most ``longest``.

    None for a claim without words. A clause that is longer still is cut at words.
    """
    parts: list[tuple[int, int]] = []
    for start, end in sentences(claim):
        if end - start <= longest:
            parts.append((start, end))
            continue
        cuts = [start, *(start + found.end() for found in _CLAUSE.finditer(claim[start:end])), end]
        begin = start
        for cut, following in zip(cuts[1:], [*cuts[2:], end], strict=True):
            if following - begin > longest or cut == end:
                parts += _at_words(claim, begin, cut, longest)
                begin = cut
    return parts if len(claim) > longest else ([(parts[0][0], parts[-1][1])] if parts else [])


def _at_words(text: str, start: int, end: int, longest: int) -> list[tuple[int, int]]:
    parts = []
    while end - start > longest:
        cut = text.rfind(" ", start + longest // 2, start + longest)
        cut = cut if cut > start else start + longest
        parts.append((start, cut))
        start = cut
    if text[start:end].strip():
        parts.append((start, end))
    return parts
