"""The families of index, what each costs, which one a collection gets, and how each is built.

    exact        fp32 vectors, every one compared: no error, 4 D bytes a vector
    ivf-sq8      inverted lists of 8-bit codes (scalar quantiser), D bytes a vector
    hnsw-sq8     a graph over 8-bit codes: quickest search, slowest to build, D + 150 bytes a vector
    ivf-pq       inverted lists of product-quantised residuals, D / 4 bytes a vector
    ivf-rabitq   inverted lists of one bit a dimension (Gao and Long, "RaBitQ", SIGMOD 2024), D / 8 + 8 bytes a vector

All but exact give candidates only, which rag/index/sealed.py ranks again by the stored vectors. Rule for "auto", by the
rows N, the bytes a family takes and the memory that the index may take:

    1. exact up to EXACT_UP_TO rows: the search takes under 5 ms, and there is nothing to train or to lose
    2. ivf-sq8 where it fits into the memory
    3. ivf-rabitq beyond; its lists are read from the file as they are needed (memory-mapped)

Letters: N rows, D dimension, L inverted lists.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

EXACT_UP_TO = 30_000
TRAINABLE = 1_000  # rows from which on there is enough to train a quantiser on
BLOCK = 50_000  # rows added at a time
_SAMPLE_PER_LIST = 64  # vectors that a centroid is trained on; FAISS asks for 39, more gains nothing
_ROUNDS = 8  # of k-means
_HNSW_LINKS, _HNSW_BUILD, _HNSW_SEARCH = 16, 100, 64
_ID_BYTES = 8
_MEMORY_SHARE = 4  # "auto" may take a quarter of the machine's memory


class Family(StrEnum):
    """How vectors are kept for searching."""

    EXACT = "exact"
    IVF_SQ8 = "ivf-sq8"
    HNSW_SQ8 = "hnsw-sq8"
    IVF_PQ = "ivf-pq"
    IVF_RABITQ = "ivf-rabitq"

    @property
    def inverted(self) -> bool:
        """Whether it keeps inverted lists."""
        return self.value.startswith("ivf")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to build: the family, the bytes of memory it may take, and whether its file is only mapped."""

    family: Family
    mapped: bool


def bytes_a_vector(family: Family, dimension: int) -> int:
    """Memory a vector takes in the index proper, ids and links included, training tables left out."""
    codes = {
        Family.EXACT: 4 * dimension,
        Family.IVF_SQ8: dimension + _ID_BYTES,
        Family.HNSW_SQ8: dimension + 8 * _HNSW_LINKS + 24,
        Family.IVF_PQ: dimension // 4 + _ID_BYTES,
        Family.IVF_RABITQ: dimension // 8 + 8 + _ID_BYTES,
    }
    return codes[family] + _ID_BYTES  # and the chunk's id beside it


def choose(wanted: str, rows: int, dimension: int, memory: int) -> Plan:
    """The plan for ``rows`` vectors. ``wanted``: a family or "auto"; ``memory``: bytes the index may take, 0 for auto.

    A family asked for by name is mapped, too, when it does not fit into the memory (exact cannot be).
    """
    room = memory or _physical_memory() // _MEMORY_SHARE
    if wanted != "auto":
        family = Family(wanted)
    elif rows <= EXACT_UP_TO:
        family = Family.EXACT
    else:
        fits = rows * bytes_a_vector(Family.IVF_SQ8, dimension) <= room
        family = Family.IVF_SQ8 if fits else Family.IVF_RABITQ
    if rows < TRAINABLE:
        family = Family.EXACT
    return Plan(family, family is not Family.EXACT and rows * bytes_a_vector(family, dimension) > room)


def build(family: Family, vectors: NDArray[np.float16], like: Any = None) -> Any:
    """A FAISS index over ``vectors``, (N, D) unit rows; FAISS's ids are row numbers.

    ``like``: an index with inverted lists whose centroids are used again, the slow part of training. Training sees a
    sample, the rows go in block by block, so fp32 copies of all of them are never in memory (but for exact, which is
    one).
    """
    count, dimension = vectors.shape
    index = _untrained(family, count, dimension, like if family.inverted and _near(like, count) else None)
    if not index.is_trained:
        index.train(_sample(vectors, max(_lists(count) * _SAMPLE_PER_LIST, 20_000)))
    for block in blocks(vectors):
        index.add(block)
    return index


def blocks(vectors: NDArray[np.float16], size: int = BLOCK) -> Iterator[NDArray[np.float32]]:
    """The rows as fp32, ``size`` at a time."""
    for first in range(0, len(vectors), size):
        yield np.ascontiguousarray(vectors[first : first + size], dtype=np.float32)


def search_parameters(family: Family, index: Any, selector: Any) -> Any:
    """How hard to look: an eighth of a percent to a few percent of the lists, so that recall@10 stays above .95."""
    if family is Family.EXACT:
        return faiss.SearchParameters(sel=selector)
    if family is Family.HNSW_SQ8:
        return faiss.SearchParametersHNSW(efSearch=_HNSW_SEARCH, sel=selector)
    if family is Family.IVF_RABITQ:
        parameters = faiss.IVFRaBitQSearchParameters()
        parameters.nprobe, parameters.qb, parameters.sel = probes(index.nlist), 8, selector
        return parameters
    return faiss.SearchParametersIVF(nprobe=probes(index.nlist), sel=selector)


def probes(lists: int) -> int:
    """Lists that a search visits: more of more lists, but a falling share of them."""
    return max(8, min(lists, round(2 * math.sqrt(lists))))


def depth(family: Family, k: int) -> int:
    """Candidates to rank again by their stored vectors, for ``k`` wanted."""
    factor, least = {Family.EXACT: (1, 0), Family.IVF_RABITQ: (16, 200), Family.IVF_PQ: (8, 100)}.get(family, (2, 20))
    return max(factor * k, least)


def alive_selector(alive: NDArray[np.bool_]) -> Any:
    """A selector of the rows where ``alive``; it must live as long as the search that it is given to."""
    return faiss.IDSelectorBitmap(np.packbits(alive, bitorder="little"))


def _near(like: Any, count: int) -> bool:
    """Whether the lists of ``like`` are as many as ``count`` rows want, within a factor of 2."""
    return hasattr(like, "nlist") and like.nlist <= 2 * _lists(count) and _lists(count) <= 2 * like.nlist


def _untrained(family: Family, count: int, dimension: int, like: Any) -> Any:
    if family is Family.EXACT:
        return faiss.IndexFlatIP(dimension)
    metric, eight = faiss.METRIC_INNER_PRODUCT, faiss.ScalarQuantizer.QT_8bit
    if family is Family.HNSW_SQ8:
        index = faiss.IndexHNSWSQ(dimension, eight, _HNSW_LINKS, metric)
        index.hnsw.efConstruction = _HNSW_BUILD
        return index
    coarse, lists = faiss.IndexFlatIP(dimension), _lists(count)
    if like is not None:  # FAISS runs no k-means for a quantiser that has its centroids
        lists = like.nlist
        coarse.add(like.quantizer.reconstruct_n(0, lists))
    if family is Family.IVF_SQ8:
        index = faiss.IndexIVFScalarQuantizer(coarse, dimension, lists, eight, metric)
    elif family is Family.IVF_PQ:
        index = faiss.IndexIVFPQ(coarse, dimension, lists, _subspaces(dimension), 8, metric)
    else:
        index = faiss.IndexIVFRaBitQ(coarse, dimension, lists, metric)
    index.cp.niter, index.cp.max_points_per_centroid, index.cp.seed = _ROUNDS, _SAMPLE_PER_LIST, 1
    index.cp.min_points_per_centroid = 1  # silences a warning on stderr about small collections
    index.cp.spherical = True  # unit vectors by inner product
    return index


def _lists(count: int) -> int:
    return max(16, round(4 * math.sqrt(count)))


def _subspaces(dimension: int) -> int:
    return next(m for m in range(max(1, dimension // 4), 0, -1) if dimension % m == 0)


def _sample(vectors: NDArray[np.float16], wanted: int) -> NDArray[np.float32]:
    if len(vectors) <= wanted:
        return np.ascontiguousarray(vectors, dtype=np.float32)
    rows = np.sort(np.random.default_rng(1).choice(len(vectors), wanted, replace=False))
    return np.ascontiguousarray(vectors[rows], dtype=np.float32)


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
