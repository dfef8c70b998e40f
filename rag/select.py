"""Hits -> what the generator reads: near-duplicates dropped, neighbouring chunks of a document merged."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from rag.types import Hit, Passage

SAME = 0.85  # share of word triples from which on two passages say the same
GAP = 4  # characters between two chunks that still are neighbours: blank lines, a bullet
LONGEST = 1600  # characters of a merged passage; beyond, neighbours stay apart, so that one of them still fits
_RUN = 3  # words


def distinct(hits: Sequence[Hit], k: int) -> tuple[Hit, ...]:
    """The first ``k`` hits that do not repeat a better one, in their order."""
    kept: list[Hit] = []
    seen: list[frozenset[str]] = []
    for hit in hits:
        if len(kept) == k:
            break
        runs = _runs(hit.passage.text)
        if not any(_alike(runs, other) for other in seen):
            kept.append(hit)
            seen.append(runs)
    return tuple(kept)


def merged(passages: Sequence[Passage], text_of: Callable[[str], str | None]) -> tuple[Passage, ...]:
    """``passages`` with chunks that follow each other in a document made one, in the place of the better of the two.

    ``text_of``: the text of a document by its id; a merged passage is a range of it, so citations stay exact. None for
    one that is not there: its passages stay apart.
    """
    result: list[Passage] = []
    for passage in passages:
        place = next((n for n, other in enumerate(result) if _adjoin(other, passage)), None)
        text = None if place is None else text_of(passage.document_id)
        if place is None or text is None:
            result.append(passage)
            continue
        other = result[place]
        start, end = min(other.start, passage.start), max(other.end, passage.end)
        page = other.page if other.start == start else passage.page
        result[place] = replace(other, start=start, end=end, text=text[start:end], page=page)
    return tuple(result)


def _adjoin(one: Passage, other: Passage) -> bool:
    start, end = max(one.start, other.start), min(one.end, other.end)
    length = max(one.end, other.end) - min(one.start, other.start)
    return one.document_id == other.document_id and start - end <= GAP and length <= LONGEST


def _runs(text: str) -> frozenset[str]:
    words = re.findall(r"\w+", text.lower())
    return frozenset(" ".join(words[n : n + _RUN]) for n in range(max(1, len(words) - _RUN + 1)))


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= SAME * len(one | other)
