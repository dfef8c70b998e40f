"""The index in Milvus, on milvus-lite: exact scores, several processes, kills, restored backups, repair."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.index import IndexOptions, milvus, open_index
from rag.index.milvus import MilvusIndex
from rag.index.milvus_server import MilvusCollection, connect, index_kind
from rag.store import Collection, Store
from rag.types import IndexBroken
from tests.rag.index.rows import DIMENSION, clustered, put
from tests.servers import milvus_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of milvus-lite that the tests of this module share: what each writes is named by its store."""
    return str(tmp_path_factory.mktemp("milvus") / "vectors.db")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"sqlite:///{tmp_path / 'rows.db'}")


@pytest.fixture
def collection(store: Store) -> Collection:
    return store.collections.ensure("default", "encoder-a", DIMENSION)


@pytest.fixture
def index(server: str, store: Store, collection: Collection) -> Iterator[MilvusIndex]:
    opened = open_index(server, store, IndexOptions("exact"))
    assert isinstance(opened, MilvusIndex)
    yield opened
    opened.drop(collection)


def assert_exact(index: MilvusIndex, store: Store, collection: Collection, k: int = 5) -> None:
    """What is found is what comparing every row finds, and the scores are its scores."""
    queries = clustered(5, 99)
    rows = store.chunks.changes(collection, -1)
    scores = queries @ rows.vectors.T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    ids, found = index.search(collection, queries, k)
    np.testing.assert_array_equal(ids, rows.ids[order])
    np.testing.assert_allclose(found, np.take_along_axis(scores, order, axis=1), atol=1e-6)


def test_a_server_is_not_pinged_more_often_than_servers_allow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pymilvus pings every 10 s; after some a server hangs up ("Too many pings"), and a call on its way fails."""
    import grpc

    seen: list[dict[str, Any]] = []
    channel = grpc.insecure_channel

    def recorded(address: str, options: Any = None, **others: Any) -> Any:
        seen.append(dict(options))
        return channel(address, options=options, **others)

    monkeypatch.setattr(grpc, "insecure_channel", recorded)
    with milvus_server(tmp_path / "data") as url:
        assert connect(url).list_collections() == []
    assert seen
    assert all(options["grpc.keepalive_time_ms"] >= 300_000 for options in seen)


def test_search_equals_brute_force_through_every_change(
    index: MilvusIndex, store: Store, collection: Collection
) -> None:
    assert (index.search(collection, clustered(1, 1), 3)[0] == -1).all()
    first = put(store, collection, "/a", clustered(40, 1))
    assert_exact(index, store, collection)
    put(store, collection, "/b", clustered(30, 2))
    store.documents.delete(first)
    assert_exact(index, store, collection)
    put(store, collection, "/b", clustered(25, 3))
    assert_exact(index, store, collection, 20)
    assert index.check(collection).problem == ""
    assert index.stats(collection).vectors == 25


def test_only_allowed_rows_are_found(
    index: MilvusIndex, store: Store, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, collection, "/a", clustered(60, 1))
    ids = store.chunks.changes(collection, -1).ids
    monkeypatch.setattr(milvus, "FILTER_IDS", 7)  # more ids than one expression takes
    found, _ = index.search(collection, clustered(2, 5), 30, ids[::3])
    assert all(set(row[:20].tolist()) == set(ids[::3].tolist()) and row[20] == -1 for row in found)
    assert (index.search(collection, clustered(1, 5), 3, ids[:0])[0] == -1).all()


def test_another_process_sees_changes_and_writes_none_twice(
    index: MilvusIndex, server: str, store: Store, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, collection, "/a", clustered(20, 1))
    assert_exact(index, store, collection)
    other_store = Store.open(str(store._database.kind.engine.url))
    other = MilvusIndex(server, other_store, IndexOptions("exact"))
    key = put(store, collection, "/b", clustered(20, 2))
    assert_exact(other, other_store, collection)
    monkeypatch.setattr(MilvusCollection, "put", lambda *_: pytest.fail("written twice"))
    assert_exact(index, store, collection)
    store.documents.delete(key)
    assert_exact(other, other_store, collection)


def test_what_is_deleted_is_not_found_even_before_milvus_hears_of_it(
    index: MilvusIndex, store: Store, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, collection, "/a", clustered(20, 1))
    key = put(store, collection, "/b", clustered(20, 2))
    index.save(collection)
    store.documents.delete(key)
    monkeypatch.setattr(milvus._View, "refresh", lambda *_: None)
    assert_exact(index, store, collection, 20)


def test_a_kill_before_the_note_is_written_is_made_good(
    index: MilvusIndex, store: Store, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, collection, "/a", clustered(20, 1))
    index.save(collection)
    put(store, collection, "/b", clustered(20, 2))

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(milvus._View, "_mark", killed)
        index.save(collection)
    assert_exact(index, store, collection)
    assert index.check(collection).problem == ""


def test_a_rebuild_that_is_killed_leaves_the_old_one_answering(
    index: MilvusIndex, store: Store, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, collection, "/a", clustered(20, 1))
    index.save(collection)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(milvus._View, "_mark", killed)
        index.rebuild(collection)
    assert_exact(index, store, collection)
    index.rebuild(collection)  # takes what was left away, too
    alias = index._view(collection).server.alias
    assert sum(name.startswith(alias) for name in index._client.list_collections()) == 1


def test_doctor_finds_what_milvus_lacks_and_what_it_has_too_much(
    index: MilvusIndex, store: Store, collection: Collection
) -> None:
    put(store, collection, "/a", clustered(20, 1))
    index.save(collection)
    server = index._view(collection).server
    ids = store.chunks.changes(collection, -1).ids
    server.remove(ids[:2])
    server.put(np.array([10_000]), clustered(1, 3))
    assert index.check(collection).problem == "2 rows are missing from the index, 1 entries have no row"
    index.rebuild(collection)
    server.put(ids[:1], clustered(1, 4))
    assert index.check(collection).problem == "1 vectors differ from their rows"
    index.rebuild(collection)
    assert index.check(collection).problem == ""


@pytest.mark.parametrize("note", ["nonsense", '{"format": 1}', ""])
def test_a_note_that_does_not_fit_means_building_anew(
    index: MilvusIndex, server: str, store: Store, collection: Collection, note: str
) -> None:
    put(store, collection, "/a", clustered(20, 1))
    index.save(collection)
    index._view(collection).server.mark(note or foreign(store), DIMENSION)
    other = MilvusIndex(server, store, IndexOptions("exact"))
    assert_exact(other, store, collection)
    assert other.stats(collection).vectors == 20


def foreign(store: Store) -> str:
    """The note of a database that went another way: restored from a backup, and changed since."""
    fields = {"format": 1, "store": store.id, "encoder": "encoder-a", "dimension": DIMENSION, "kind": "FLAT", "seq": 1}
    return str({**fields, "mark": "another"}).replace("'", '"')


def test_milvus_that_is_not_there_is_one_clear_line(store: Store) -> None:
    with pytest.raises(IndexBroken, match=r"Milvus at http://127\.0\.0\.1:9: .*check that it runs") as caught:
        open_index("http://127.0.0.1:9", store, IndexOptions())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("family", "device", "kind"),
    [
        ("auto", "cpu", "AUTOINDEX"),
        ("auto", "cuda", "AUTOINDEX"),
        ("exact", "cpu", "FLAT"),
        ("hnsw-sq8", "cuda", "GPU_CAGRA"),
    ],
)
def test_the_kind_of_index_is_a_setting(family: str, device: str, kind: str) -> None:
    assert index_kind(IndexOptions(family, device=device))[0] == kind


@pytest.mark.parametrize("family", ["auto", "ivf-sq8", "hnsw-sq8"])
def test_families_find_nearly_all(server: str, store: Store, collection: Collection, family: str) -> None:
    vectors: NDArray[np.float32] = clustered(1500, 1)
    put(store, collection, "/a", vectors)
    index = open_index(server, store, IndexOptions(family))
    queries = clustered(20, 99)
    best = np.argsort(-(queries @ vectors.T), axis=1)[:, :10] + store.chunks.changes(collection, -1).ids[0]
    ids, _ = index.search(collection, queries, 10)
    assert np.mean([len(set(one) & set(two)) for one, two in zip(ids.tolist(), best.tolist(), strict=True)]) > 9
    index.drop(collection)
