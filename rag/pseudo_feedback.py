"""The passages ranked first say more about what is asked than the query: pseudo-relevance feedback among candidates.

A query has few words. Where several passages answer about equally well, the other good ones are like them: the query's
vector is moved towards theirs (Rocchio 1971, "Relevance Feedback in Information Retrieval"), and words that they have
and the other candidates lack count like words of the query (after RM3: Abdul-Jaleel et al. 2004, "UMass at TREC 2004:
Novelty and HARD"). Nothing is searched again: only passages that were found and read are ranked anew, and how rare a
word is counts among them. Where the reranker has a clear favourite there is nothing to learn from the others, and
little or nothing is moved. Constants were chosen on dev sets; docs/benchmarks.md has the figures with and without.

Letters in shape comments: N candidates, D dimensions.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.fusion import fuse
from rag.store.fulltext import K1, B
from rag.words import content_stems

FIRST = 4  # passages that are learnt from
TERMS = 10  # words that are taken from them
VECTOR_SHARE = 0.8  # length of their mean vector, beside the query's 1
TERMS_SHARE = 0.3  # of the best BM25 score, for the passage that has most of the words
CLEAR_LEAD, LEAD_WIDTH = 6.0, 1.5  # logits by which the first leads, where half of this is left, and how fast it goes


@dataclass(frozen=True, slots=True)
class Candidates:
    """What was found for a query: texts, unit vectors (N, D), BM25 scores (0: not found by words), scores so far."""

    texts: Sequence[str]
    vectors: NDArray[np.float32]
    bm25: Sequence[float]
    scores: Sequence[float]


def doubt(relevant: NDArray[np.float32]) -> float:
    """From the reranker's logits (N,), how little the first passage stands out: 1 not at all, 0 it is the answer."""
    if len(relevant) < 2:
        return 0.0
    second, first = np.sort(relevant)[-2:]
    return 1 / (1 + math.exp((float(first - second) - CLEAR_LEAD) / LEAD_WIDTH))


def fused_again(query: str, vector: NDArray[np.float32], found: Candidates, strength: float) -> list[float]:
    """The fused score in [0, 1] of each candidate for the query (``vector``: (D,)) and what its best ones add.

    ``strength``: how much they do, in [0, 1]; at 0 nothing.
    """
    best = sorted(range(len(found.texts)), key=lambda place: (-found.scores[place], place))[:FIRST]
    weights = np.array([max(0.0, found.scores[place]) for place in best])
    weights /= weights.sum() or 1.0
    cosines = found.vectors @ _moved(vector, weights @ found.vectors[best], strength)  # (N,)
    said = _terms_said(query, found.texts, dict(zip(best, weights.tolist(), strict=True)))
    top, most = max(found.bm25, default=0.0) or 1.0, max(said, default=0.0) or 1.0
    words = [score / top + strength * TERMS_SHARE * more / most for score, more in zip(found.bm25, said, strict=True)]
    fused = fuse(dict(enumerate(cosines.tolist())), dict(enumerate(words)))
    return [fused[place] for place in range(len(found.texts))]


def _moved(vector: NDArray[np.float32], mean: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    """The query's unit vector (D,), moved towards the mean of the best ones and made a unit again."""
    moved = vector + strength * VECTOR_SHARE * mean / (float(np.linalg.norm(mean)) or 1.0)
    unit: NDArray[np.float64] = moved / (float(np.linalg.norm(moved)) or 1.0)
    return unit


def _terms_said(query: str, texts: Sequence[str], weights: dict[int, float]) -> list[float]:
    """For each text how much it says of the words that mark the weighted ones, the query's own words left out."""
    counts = [Counter(content_stems(text)) for text in texts]
    having = Counter(term for terms in counts for term in terms)
    rarity = {term: math.log((len(texts) + 1) / (number + 0.5)) for term, number in having.items()}
    mean_length = sum(terms.total() for terms in counts) / max(1, len(counts)) or 1.0
    asked = frozenset(content_stems(query))
    marks: defaultdict[str, float] = defaultdict(float)
    for place, weight in weights.items():
        for term in counts[place].keys() - asked:
            marks[term] += weight * rarity[term] * _often(counts[place], term, mean_length)
    chosen = [term for term, mark in sorted(marks.items(), key=lambda item: (-item[1], item[0]))[:TERMS] if mark > 0]
    return [sum(rarity[term] * _often(terms, term, mean_length) for term in chosen) for terms in counts]


def _often(terms: Counter[str], term: str, mean_length: float) -> float:
    """BM25's damped frequency of a term in a text."""
    times = terms[term]
    return times * (K1 + 1) / (times + K1 * (1 - B + B * terms.total() / mean_length))
