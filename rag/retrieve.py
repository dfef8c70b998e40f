"""Question -> hits: dense and BM25 search, fused, and read again by the reranker, as one ranked list of passages.

Every candidate of either search gets both scores where they exist: the cosine of a passage that only BM25 found is
computed from its vector, so no passage is marked down for having been found by one search alone. rag/fusion.py makes
one score of both. The best RERANKED of them are read by the reranker where there is one and the query is a question
and not a page (RERANK_WORDS): a text as long as the passages is matched better by its vector. What the best of those
have in common then moves the others (rag/pseudo_feedback.py), the less the more clearly one of them leads.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rag.encode import Encoder
from rag.fusion import fuse
from rag.index import Index
from rag.pseudo_feedback import Candidates, doubt, fused_again
from rag.rerank import Reranker
from rag.store import Collection, Store, check_encoder
from rag.types import Filter, Hit, Passage

Mode = Literal["dense", "bm25", "fused", "reranked"]
Feedback = Callable[[Sequence[Hit], float], list[float]]  # hits as ranked so far, strength -> their fused scores anew

CANDIDATES = 50  # of each search, before fusion
RERANKED = 24  # of the fused list
RERANK_WEIGHT = 0.3  # share of the reranker's say in the score; the rest is the fused score (benchmarks/fit_rerank.py)
RERANK_TEMPERATURE = 4.0  # its logits are far apart; undivided, most of their differences would be lost
RERANK_WORDS = 60  # longer queries are not reranked: on arguana, whose queries are essays, it makes things worse

_STOPWORDS = frozenset(
    "a about all am an and any are as at be been but by can could did do does for from had has have how i if in into "
    "is it its me my no not of on or our shall should so some such than that the their them then there these they this "
    "those to was we were what when where which who whom whose why will with would you your".split()
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found; ``answerable`` is the probability that the hits answer the question, None where no reranker
    with a calibration took part; ``rerank_ms`` the reranker's share of the time."""

    hits: tuple[Hit, ...]
    answerable: float | None = None
    rerank_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Retriever:
    """What a search needs: the encoder of the collection, its index, the rows, and the reranker if there is one."""

    encoder: Encoder
    index: Index
    store: Store
    reranker: Reranker | None = None

    def search(
        self, query: str, collection: Collection, k: int, mode: Mode | None = None, where: Filter | None = None
    ) -> tuple[Hit, ...]:
        """The best ``k`` passages for ``query``, best first; ties by id, so the order is always the same.

        ``mode`` None: reranked where there is a reranker, else fused. ``where``: only documents that it lets through.
        Raises EncoderChanged when the collection's vectors come from another encoder.
        """
        check_encoder(collection, self.encoder.fingerprint)
        if mode in (None, "reranked") and self.reranker is not None:
            return self.find(query, collection, k, where).hits
        return self._first_stage(query, collection, k, "fused" if mode in (None, "reranked") else mode, where)

    def find(self, query: str, collection: Collection, k: int, where: Filter | None = None) -> Found:
        """The best ``k`` passages by all that there is, and whether they answer. Raises what `search` raises."""
        check_encoder(collection, self.encoder.fingerprint)
        hits = self._first_stage(query, collection, max(k, RERANKED), "fused", where)
        return self._reranked(query, hits, k, partial(self._fed_back, query, collection))

    def _first_stage(
        self, query: str, collection: Collection, k: int, mode: Mode | None, where: Filter | None
    ) -> tuple[Hit, ...]:
        allowed = None if where is None else self.store.chunks.matching(collection, where)
        dense, bm25 = self.scores(query, collection, max(k, CANDIDATES), mode or "fused", allowed)
        scores = fuse(dense, bm25) if mode == "fused" else dense or bm25
        best = sorted(scores, key=lambda chunk_id: (-scores[chunk_id], chunk_id))[:k]
        passages = self.store.chunks.passages(best)
        return tuple(Hit(passages[i], scores[i], dense.get(i), bm25.get(i)) for i in best if i in passages)

    def _reranked(self, query: str, hits: tuple[Hit, ...], k: int, feedback: Feedback | None = None) -> Found:
        if self.reranker is None or not hits or len(query.split()) > RERANK_WORDS:
            return Found(hits[:k])
        started = time.perf_counter()
        texts = [f"{hit.passage.heading}\n{hit.passage.text}" for hit in hits[:RERANKED]]
        logits = self.reranker.logits(query, texts)  # (N, 2)
        scored = _scored(hits, [hit.score for hit in hits], logits[:, 0])
        if feedback is not None and (strength := doubt(logits[:, 0])) > 0:
            again = feedback(scored[:RERANKED], strength)
            scored = _scored(hits, [*again, *(hit.score for hit in hits[RERANKED:])], logits[:, 0])
        order = tuple(sorted(scored, key=lambda hit: (-hit.score, hit.passage.chunk_id)))
        known = self.reranker.calibration
        answerable = None if known is None else known.probability(logits)
        return Found(order[:k], answerable, (time.perf_counter() - started) * 1000)

    def _fed_back(self, query: str, collection: Collection, hits: Sequence[Hit], strength: float) -> list[float]:
        """The fused score of each hit anew, its candidates known by the scores that they have."""
        ids = np.array([hit.passage.chunk_id for hit in hits], dtype=np.int64)
        found = Candidates(
            [f"{hit.passage.heading}\n{hit.passage.text}" for hit in hits],
            self.index.vectors(collection, ids),
            [hit.bm25 or 0.0 for hit in hits],
            [hit.score for hit in hits],
        )
        return fused_again(query, self.encoder.encode([query])[0], found, strength)

    def scores(
        self,
        query: str,
        collection: Collection,
        depth: int,
        mode: Mode = "fused",
        allowed: NDArray[np.int64] | None = None,
    ) -> tuple[dict[int, float], dict[int, float]]:
        """Cosine and BM25 score by chunk id, of the best ``depth`` of each search; a mode leaves the other empty.

        ``allowed``: chunk ids to keep to, rising; None for all.
        """
        bm25 = {} if mode == "dense" else self._bm25(query, collection, depth, allowed)
        dense = {} if mode == "bm25" else self._dense(query, collection, depth, tuple(bm25), allowed)
        return dense, bm25

    def rank(self, query: str, passages: Sequence[Passage], k: int) -> Found:
        """The ``k`` of ``passages`` nearest to ``query``, best first, ties in the given order."""
        if not passages:
            return Found(())
        query_vector = self.encoder.encode([query])[0]  # (D,)
        cosines = self.encoder.encode([f"{p.heading}\n{p.text}" for p in passages]) @ query_vector  # (N,)
        order = sorted(range(len(passages)), key=lambda i: -cosines[i])[: max(k, RERANKED)]
        return self._reranked(query, tuple(Hit(passages[i], float(cosines[i]), float(cosines[i])) for i in order), k)

    def _dense(
        self,
        query: str,
        collection: Collection,
        depth: int,
        also: tuple[int, ...],
        allowed: NDArray[np.int64] | None,
    ) -> dict[int, float]:
        vector = self.encoder.encode([query])  # (1, D)
        ids, cosines = self.index.search(collection, vector, depth, allowed)  # (1, depth)
        found = {int(i): float(c) for i, c in zip(ids[0], cosines[0], strict=True) if i >= 0}
        missing = np.array([i for i in also if i not in found], dtype=np.int64)
        if len(missing):
            rest = self.index.vectors(collection, missing) @ vector[0]  # (M,)
            found.update((int(i), float(c)) for i, c in zip(missing, rest, strict=True))
        return found

    def _bm25(
        self, query: str, collection: Collection, depth: int, allowed: NDArray[np.int64] | None
    ) -> dict[int, float]:
        return dict(self.store.chunks.search(collection, content_words(query), depth, allowed))


def _scored(hits: Sequence[Hit], fused: Sequence[float], relevant: NDArray[np.float32]) -> list[Hit]:
    scores = reranked_scores(fused, relevant, RERANK_WEIGHT, RERANK_TEMPERATURE)
    return [replace(hit, score=score) for hit, score in zip(hits, scores, strict=True)]


def reranked_scores(
    fused: Sequence[float], logits: NDArray[np.float32], weight: float, temperature: float
) -> list[float]:
    """Scores of all hits: of the first N both, ``logits`` (N,) through a sigmoid; of the rest the fused one's share."""
    said = 1 / (1 + np.exp(-np.clip(logits / temperature, -30, 30)))  # (N,)
    chances = [*said.tolist(), *[0.0] * (len(fused) - len(said))]
    return [weight * chance + (1 - weight) * score for chance, score in zip(chances, fused, strict=True)]


def content_words(query: str) -> tuple[str, ...]:
    """The words of ``query`` that say what it is about, lower case, each once, 64 at most; empty when it has none.

    Stop words are left out, unless the question holds nothing else: they cost time and rank nothing.
    """
    words = list(dict.fromkeys(re.findall(r"\w+", query.lower())))
    return tuple([word for word in words if word not in _STOPWORDS] or words)[:64]
