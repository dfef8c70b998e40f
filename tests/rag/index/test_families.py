"""Every family finds nearly what exact search finds, keeps deletions and filters, and comes back from its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.index import Family, IndexOptions, VectorIndex
from rag.index.families import bytes_a_vector, choose, probes
from rag.store import Collection, Store
from tests.backend import database_url
from tests.rag.index.rows import DIMENSION, clustered, put

ALL = [family.value for family in Family]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(database_url(tmp_path, "rows.db"))


@pytest.fixture
def collection(store: Store) -> Collection:
    made = store.collections.ensure("default", "encoder-a", DIMENSION)
    for number in range(6):
        put(store, made, f"/old/{number}", clustered(500, number))
    return made


def open_index(tmp_path: Path, store: Store, family: str, memory: int = 0) -> VectorIndex:
    return VectorIndex(tmp_path / "index", store, IndexOptions(family, memory))


def truth(
    store: Store, collection: Collection, queries: NDArray[np.float32], allowed: NDArray[np.int64] | None = None
) -> list[set[int]]:
    rows = store.chunks.changes(collection, -1)
    keep = np.ones(len(rows.ids), bool) if allowed is None else np.isin(rows.ids, allowed)
    order = np.argsort(-(queries @ rows.vectors[keep].T), axis=1, kind="stable")[:, :10]
    return [set(rows.ids[keep][best].tolist()) for best in order]


def recall(found: NDArray[np.int64], wanted: list[set[int]]) -> float:
    return float(np.mean([len(set(row.tolist()) & best) / 10 for row, best in zip(found, wanted, strict=True)]))


@pytest.mark.parametrize("family", ALL)
def test_recall_through_deletions_filters_and_the_file(
    tmp_path: Path, store: Store, collection: Collection, family: str
) -> None:
    queries = clustered(40, 99)
    index = open_index(tmp_path, store, family)
    index.save(collection)
    assert index.stats(collection).kind == family
    gone = store.chunks.changes(collection, -1).ids[:500]
    store.documents.delete(next(row.id for row in store.documents.all(collection) if row.uri == "/old/0"))
    put(store, collection, "/new", clustered(100, 50))
    for opened in (index, open_index(tmp_path, store, family)):
        ids, cosines = opened.search(collection, queries, 10)
        assert not np.isin(ids, gone).any()
        assert recall(ids, truth(store, collection, queries)) >= (1.0 if family == "exact" else 0.95)
        assert (np.diff(cosines, axis=1) <= 0).all()
        allowed = store.chunks.changes(collection, -1).ids[::3]
        ids, _ = opened.search(collection, queries, 10, allowed)
        assert np.isin(ids, allowed).all()
        assert recall(ids, truth(store, collection, queries, allowed)) >= 0.95
        assert opened.check(collection).problem == ""


@pytest.mark.parametrize("family", [family for family in ALL if family != "exact"])
def test_scores_are_exact_cosines_whatever_the_codes(
    tmp_path: Path, store: Store, collection: Collection, family: str
) -> None:
    queries = clustered(5, 77)
    index = open_index(tmp_path, store, family)
    ids, cosines = index.search(collection, queries, 10)
    for query, row, scores in zip(queries, ids, cosines, strict=True):
        np.testing.assert_allclose(index.vectors(collection, row) @ query, scores, rtol=1e-5)


@pytest.mark.parametrize("family", ["ivf-sq8", "ivf-rabitq", "hnsw-sq8"])
def test_a_mapped_index_answers_as_one_in_memory(
    tmp_path: Path, store: Store, collection: Collection, family: str
) -> None:
    queries = clustered(20, 98)
    expected, _ = open_index(tmp_path, store, family).search(collection, queries, 10)
    mapped = open_index(tmp_path, store, family, memory=1)
    found, _ = mapped.search(collection, queries, 10)
    np.testing.assert_array_equal(found, expected)
    assert mapped._view(collection)._sealed.mapped


def test_a_filter_that_leaves_few_misses_none_of_them(tmp_path: Path, store: Store, collection: Collection) -> None:
    index = open_index(tmp_path, store, "ivf-sq8")
    allowed = store.chunks.changes(collection, -1).ids[7::300]  # spread over all lists
    ids, _ = index.search(collection, clustered(3, 5), 20, allowed)
    assert all(set(row[row >= 0].tolist()) == set(allowed.tolist()) for row in ids)


def test_the_rule() -> None:
    plenty = 10**12
    assert choose("auto", 30_000, 384, plenty).family is Family.EXACT
    assert choose("auto", 30_001, 384, plenty).family is Family.IVF_SQ8
    assert choose("auto", 4_000_000, 384, 1 << 30).family is Family.IVF_RABITQ
    assert choose("hnsw-sq8", 1_000_000, 384, plenty).family is Family.HNSW_SQ8
    assert choose("ivf-sq8", 4_000_000, 384, 1 << 30).mapped
    assert not choose("ivf-sq8", 1_000_000, 384, plenty).mapped
    assert choose("ivf-pq", 500, 384, plenty).family is Family.EXACT  # too few to train on
    assert all(bytes_a_vector(family, 384) <= 600 for family in Family if family is not Family.EXACT)
    assert probes(16) == 8 and probes(4000) < 4000 // 20
