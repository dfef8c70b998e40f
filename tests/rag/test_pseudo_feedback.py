"""Feedback among candidates: where none leads, the query moves towards those ranked first, by vector and word."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer

from rag.fusion import fuse
from rag.pseudo_feedback import FIRST, TERMS, TERMS_SHARE, VECTOR_SHARE, Candidates, doubt, fused_again
from rag.words import content_stems
from tests.fakes import Shelf

QUERY = "heat of the nose cone"
TEXTS = (
    "heat at the nose cone of a blunt missile in hypersonic flow",
    "nose cone heat measured at hypersonic speed on a blunt missile",
    "the cone and its heat, by shock tube",
    "hypersonic flow about a blunt missile",
    "the heat of a boiler in a house",
    "nose of a wine",
)


def unit(rows: int, seed: int = 0) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(rows, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)  # type: ignore[no-any-return]


def candidates(**changed: object) -> Candidates:
    found = Candidates(TEXTS, unit(len(TEXTS)), [9.0, 8.0, 5.0, 0.0, 3.0, 2.0], [0.9, 0.8, 0.5, 0.3, 0.4, 0.35])
    return replace(found, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("logits", "least", "most"),
    [([], 0, 0), ([3.0], 0, 0), ([2.0, 2.0, -5.0], 0.95, 1), ([8.0, 2.0], 0.5, 0.5), ([2.0, 14.0], 0, 0.02)],
)
def test_doubt_is_how_little_the_first_stands_out(logits: list[float], least: float, most: float) -> None:
    assert least <= doubt(np.array(logits, dtype=np.float32)) <= most


def test_without_doubt_the_fused_scores_stay() -> None:
    found, vector = candidates(), unit(1, seed=5)[0]
    cosines = dict(enumerate((found.vectors @ vector).tolist()))
    assert fused_again(QUERY, vector, found, 0.0) == pytest.approx(
        [fuse(cosines, dict(enumerate(found.bm25)))[place] for place in range(len(TEXTS))], abs=1e-6
    )


def by_hand(vector: NDArray[np.float32], found: Candidates, strength: float) -> list[float]:
    """The same in dense matrices: Rocchio's mean, and a BM25 of the marking words over a count matrix."""
    scores = np.array(found.scores)
    best = np.argsort(-scores, kind="stable")[:FIRST]
    weights = scores[best] / scores[best].sum()
    mean = (weights[:, None] * found.vectors[best]).sum(0)
    moved = vector + strength * VECTOR_SHARE * mean / np.linalg.norm(mean)
    cosines = found.vectors @ (moved / np.linalg.norm(moved))
    counter = CountVectorizer(analyzer=content_stems)
    counts = counter.fit_transform(found.texts).toarray().astype(float)  # (N, W)
    lengths = counts.sum(1, keepdims=True)
    often = counts * 2.2 / (counts + 1.2 * (0.25 + 0.75 * lengths / lengths.mean()))
    rarity = np.log((len(counts) + 1) / ((counts > 0).sum(0) + 0.5))
    marks = weights @ (often * rarity)[best]
    names = counter.get_feature_names_out()
    marks[[name in content_stems(QUERY) for name in names]] = 0
    chosen = [place for place in np.lexsort((names, -marks))[:TERMS] if marks[place] > 0]
    said = (often * rarity)[:, chosen].sum(1)
    words = np.array(found.bm25) / max(found.bm25) + strength * TERMS_SHARE * said / said.max()
    fused = fuse(dict(enumerate(cosines.tolist())), dict(enumerate(words.tolist())))
    return [fused[place] for place in range(len(found.texts))]


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_it_is_what_matrices_give(strength: float) -> None:
    vector = unit(1, seed=5)[0]
    assert fused_again(QUERY, vector, candidates(), strength) == pytest.approx(
        by_hand(vector, candidates(), strength), abs=1e-6
    )


def test_words_of_the_best_lift_a_passage_that_lacks_the_querys_own() -> None:
    same = np.tile(unit(1), (len(TEXTS), 1))
    found, vector = candidates(vectors=same), unit(1)[0]
    before, after = (fused_again(QUERY, vector, found, strength) for strength in (0.0, 1.0))
    lifted = [new - old for old, new in zip(before, after, strict=True)]
    assert lifted[3] > max(lifted[2], lifted[4], lifted[5]) > 0 > min(lifted)  # "hypersonic flow about a blunt missile"


def test_vectors_like_those_of_the_best_come_nearer() -> None:
    blank, axes = ("the",) * 4, np.eye(8, dtype=np.float32)
    vectors = np.stack([axes[0], axes[0], (axes[0] + axes[1]) / math.sqrt(2), axes[2]])
    found = Candidates(blank, vectors, [0.0] * 4, [0.9, 0.8, 0.1, 0.1])
    vector = (axes[1] + axes[2]) / np.float32(math.sqrt(2))
    before, after = (fused_again(QUERY, vector, found, strength) for strength in (0.0, 1.0))
    assert before[2] < before[3] and after[2] > after[3]


class FlatReranker:
    """Finds all passages equally relevant, but for the one that says ``favourite``."""

    name, fingerprint, calibration = "flat", "0", None

    def __init__(self, favourite: str = ""):
        self._favourite = favourite

    def logits(self, question: str, passages: list[str]) -> NDArray[np.float32]:
        said = [20.0 if self._favourite and self._favourite in text else 0.0 for text in passages]
        return np.array([[logit, 0.0] for logit in said], dtype=np.float32)


def test_a_search_is_moved_by_what_it_found_and_keeps_its_cosines(tmp_path: Path) -> None:
    shelf = Shelf.open(tmp_path)
    shelf.put({f"/{number}.txt": text.capitalize() + "." for number, text in enumerate(TEXTS)})
    collection = shelf.store.collections.get("default")
    plain = shelf.retriever.search(QUERY, collection, 6, "fused")

    def places(favourite: str) -> list[str]:
        hits = replace(shelf.retriever, reranker=FlatReranker(favourite)).search(QUERY, collection, 6)  # type: ignore[arg-type]
        assert {hit.passage.uri: hit.dense for hit in hits} == {hit.passage.uri: hit.dense for hit in plain}
        return [hit.passage.uri for hit in hits]

    moved, sure, unmoved = places(""), places("boiler"), [hit.passage.uri for hit in plain]
    # The boiler is nearer to the query's words, the second missile to what the first passage says.
    assert unmoved.index("/4.txt") < unmoved.index("/1.txt") and moved.index("/4.txt") > moved.index("/1.txt")
    assert sure[:3] == ["/4.txt", *(uri for uri in unmoved if uri != "/4.txt")][:3]
