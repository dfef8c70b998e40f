"""What a reranker reads of a passage: the sentences that share most with the question, as many as there is room for.

A passage answers by a sentence or two, and reading costs by the token. So of a passage too long for ``most`` tokens,
its heading and the sentences are kept that have the words of the question, in their order (after the block selection of
KeyB: Li et al. 2023, "The Power of Selecting Key Blocks with Local Pre-ranking for Long Document Information
Retrieval"). docs/benchmarks.md has the figures of reading less.

Letters in shape comments: T tokens of a passage.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.sentences import sentences
from rag.words import content_stems

_LONGEST = 48  # tokens of a sentence that stand or fall together: tables and code may have no end
_LEAST = 8  # tokens of room for which no other sentence is begun
_ALIKE = 3  # characters that all words of a stem begin with

Places = NDArray[np.int64]


class Asked:
    """The content stems of a question. To find them takes time, so it is done for words alone that begin like one of
    them or of the question's words, and once for each. Any string is taken."""

    def __init__(self, question: str) -> None:
        self.stems = frozenset(content_stems(question))
        starts = {word[:_ALIKE] for word in (*self.stems, *re.findall(r"\d+|\w\w+", question.lower()))}
        any_of = "|".join(map(re.escape, sorted(starts))) or r"(?!)"
        self._like = re.compile(rf"\b(?:{any_of})[\w.,'’]*", re.IGNORECASE)
        self._known: dict[str, frozenset[str]] = {}

    def shared(self, text: str) -> frozenset[str]:
        """Those of the question's stems that ``text`` has."""
        found: frozenset[str] = frozenset()
        for word in set(self._like.findall(text)):
            if word not in self._known:
                self._known[word] = self.stems.intersection(content_stems(word))
            found |= self._known[word]
        return found


@dataclass(frozen=True, slots=True)
class _Sentence:
    """Tokens ``start`` to ``end`` of a passage, and the stems that they share with the question."""

    start: int
    end: int
    shared: frozenset[str]


def key_tokens(asked: Asked, text: str, offsets: Places, most: int) -> Places:
    """The places, rising, of the at most ``most`` (1 or more) tokens that are read of ``text``, "heading\\ntext".

    ``offsets``: (T, 2), the characters of its tokens.
    """
    if len(offsets) <= most:
        return np.arange(len(offsets))
    body = text.find("\n") + 1
    parts = [np.arange(min(int(np.searchsorted(offsets[:, 0], body)), most // 2))]
    left = most - len(parts[0])
    best = _by_worth(asked.shared(text[:body]), _sentences(asked, text, body, offsets))
    for number, sentence in enumerate(best):
        if number and left <= _LEAST:
            break
        parts.append(np.arange(sentence.start, min(sentence.end, sentence.start + left)))
        left -= len(parts[-1])
    return np.sort(np.concatenate(parts))


def _sentences(asked: Asked, text: str, body: int, offsets: Places) -> list[_Sentence]:
    """The sentences after the heading, which ends before ``body``; long ones in parts."""
    spans = np.array(sentences(text[body:]), dtype=np.int64).reshape(-1, 2) + body
    found = []
    for start, end in np.searchsorted(offsets[:, 0], spans).tolist():
        for cut in range(start, end, _LONGEST):
            stop = min(cut + _LONGEST, end)
            found.append(_Sentence(cut, stop, asked.shared(text[offsets[cut, 0] : offsets[stop - 1, 1]])))
    return found


def _by_worth(known: frozenset[str], found: list[_Sentence]) -> Iterator[_Sentence]:
    """Sentences by the stems that they share, those that neither heading nor a better one has (``known``) counted
    thrice; among equals the first."""
    left = list(found)
    while left:
        best = max(left, key=lambda one: (len(one.shared) + 2 * len(one.shared - known), -one.start))
        left.remove(best)
        known |= best.shared
        yield best
