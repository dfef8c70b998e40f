"""The index is a view of the rows: exact, catching up, and never trusted further than its manifest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.index import Index, IndexOptions, VectorIndex, open_index
from rag.index.gpu import gpus
from rag.store import Collection, Source, Store
from rag.types import Chunk, IndexBroken, ParsedDocument
from tests.backend import SERVERS, database_url, index_url, local_only

DIMENSION = 16


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(database_url(tmp_path, "rows.db"))


@pytest.fixture
def collection(store: Store) -> Collection:
    return store.collections.ensure("default", "encoder-a", DIMENSION)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "index"


def opened(folder: Path, store: Store) -> Index:
    """The index of the backend that the tests run on, in ``folder`` where it has files."""
    return open_index(index_url(folder.parent), store, IndexOptions("exact" if SERVERS else "auto"))


def unit_vectors(count: int, seed: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def put(store: Store, collection: Collection, uri: str, count: int, seed: int) -> str:
    parts = [Chunk(2 * i, 2 * i + 1, "x") for i in range(count)]
    parsed = ParsedDocument("", "x " * count, "txt/1")
    return store.documents.put(collection, Source(uri, "h"), parsed, parts, unit_vectors(count, seed))


def brute_force(store: Store, collection: Collection, queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    rows = store.chunks.changes(collection, -1)
    order = np.argsort(-(queries @ rows.vectors.T), axis=1, kind="stable")[:, :k]
    return rows.ids[order]


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/vectors-*.npy"))


def assert_exact(index: Index, store: Store, collection: Collection, k: int = 5) -> None:
    queries = unit_vectors(7, seed=99)
    ids, scores = index.search(collection, queries, k)
    np.testing.assert_array_equal(ids, brute_force(store, collection, queries, k))
    assert (np.diff(scores, axis=1) <= 0).all()


def test_search_equals_brute_force_through_every_change(store: Store, collection: Collection, folder: Path) -> None:
    index = opened(folder, store)
    first = put(store, collection, "/a", 40, seed=1)
    assert_exact(index, store, collection)
    put(store, collection, "/b", 30, seed=2)
    assert_exact(index, store, collection)
    store.documents.delete(first)
    assert_exact(index, store, collection)
    put(store, collection, "/b", 25, seed=3)
    assert_exact(index, store, collection)
    assert index.check(collection).problem == ""


def test_another_process_sees_changes_at_its_next_search(store: Store, collection: Collection, folder: Path) -> None:
    reader_store = Store.open(str(store._database.kind.engine.url))
    reader = opened(folder, reader_store)
    put(store, collection, "/a", 10, seed=1)
    assert_exact(reader, reader_store, collection)
    key = put(store, collection, "/b", 10, seed=2)
    assert_exact(reader, reader_store, collection)
    store.documents.delete(key)
    ids, _ = reader.search(collection, unit_vectors(1, seed=2), 20)
    assert set(ids[0]) - {-1} == set(store.chunks.changes(collection, -1).ids)


def test_fewer_chunks_than_asked_for(store: Store, collection: Collection, folder: Path) -> None:
    index = opened(folder, store)
    ids, scores = index.search(collection, unit_vectors(1, seed=0), 3)
    assert (ids == -1).all() and np.isneginf(scores).all()
    put(store, collection, "/a", 2, seed=1)
    ids, scores = index.search(collection, unit_vectors(1, seed=0), 3)
    assert (ids[0, :2] >= 0).all() and ids[0, 2] == -1


@local_only
def test_a_saved_index_is_read_back_and_catches_up(store: Store, collection: Collection, folder: Path) -> None:
    put(store, collection, "/a", 20, seed=1)
    VectorIndex(folder, store).save(collection)
    put(store, collection, "/b", 5, seed=2)
    again = VectorIndex(folder, store)
    assert again.stats(collection).vectors == 20  # what the file held, before it caught up
    assert_exact(again, store, collection)
    assert again.stats(collection).vectors == 25


@local_only
def test_saving_keeps_one_file(store: Store, collection: Collection, folder: Path) -> None:
    index = VectorIndex(folder, store)
    for seed in range(3):
        put(store, collection, f"/{seed}", 5, seed)
        index.save(collection)
    assert len(files(folder)) == 1
    assert sorted(path.name.split("-")[0] for path in folder.glob("*/*")) == [
        "ids",
        "manifest.json",
        "vectors",
        "write.lock",
    ]


def cut_short(folder: Path) -> None:
    path = files(folder)[0]
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_byte(folder: Path) -> None:
    path = files(folder)[0]
    data = bytearray(path.read_bytes())
    data[-1] ^= 0xFF
    path.write_bytes(data)


def remove_vectors(folder: Path) -> None:
    files(folder)[0].unlink()


def garble_manifest(folder: Path) -> None:
    next(folder.glob("*/manifest.json")).write_text('{"format": 1, ')


def set_in_manifest(folder: Path, **changes: object) -> None:
    path = next(folder.glob("*/manifest.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@local_only
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut_short, "altered or cut short"),
        (flip_a_byte, "altered or cut short"),
        (remove_vectors, "No such file"),
        (garble_manifest, "Expecting"),
        (lambda folder: set_in_manifest(folder, seq=999), "restored from a backup"),
        (lambda folder: set_in_manifest(folder, encoder="encoder-b"), "encoder is 'encoder-b', expected 'encoder-a'"),
        (lambda folder: set_in_manifest(folder, store="another"), "store is 'another'"),
        (lambda folder: set_in_manifest(folder, dimension=384), "dimension is 384"),
        (lambda folder: set_in_manifest(folder, format=99), "format is 99"),
        (lambda folder: set_in_manifest(folder, surprise=1), "surprise"),
        (lambda folder: set_in_manifest(folder, files={"../../etc/passwd": ""}), "No such file"),
    ],
    ids=["cut", "flipped", "missing", "manifest", "ahead", "encoder", "store", "dimension", "format", "field", "path"],
)
def test_a_bad_file_is_not_used_but_rebuilt(
    store: Store, collection: Collection, folder: Path, damage: object, reason: str
) -> None:
    put(store, collection, "/a", 20, seed=1)
    VectorIndex(folder, store).save(collection)
    damage(folder)  # type: ignore[operator]
    index = VectorIndex(folder, store)
    assert reason in index.stats(collection).problem
    assert_exact(index, store, collection)
    index.rebuild(collection)
    assert VectorIndex(folder, store).check(collection).problem == ""


@local_only
def test_a_database_restored_from_a_backup_wins_over_a_newer_index(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "own.db"
    store = Store.open(f"sqlite:///{path}")
    collection = store.collections.ensure("default", "encoder-a", DIMENSION)
    put(store, collection, "/a", 5, seed=1)
    store.close()
    shutil.copy(path, tmp_path / "backup.db")
    store = Store.open(f"sqlite:///{path}")
    put(store, collection, "/b", 5, seed=2)
    VectorIndex(folder, store).save(collection)
    store.close()
    shutil.copy(tmp_path / "backup.db", path)
    restored = Store.open(f"sqlite:///{path}")
    index = VectorIndex(folder, restored)
    assert "restored from a backup" in index.stats(collection).problem
    assert_exact(index, restored, collection)
    put(restored, collection, "/other", 5, seed=3)  # the same number and the same ids again, with other vectors
    index = VectorIndex(folder, restored)
    assert "mark is" in index.stats(collection).problem
    assert_exact(index, restored, collection, k=10)


@local_only
def test_check_finds_rows_the_index_lacks(store: Store, collection: Collection, folder: Path) -> None:
    put(store, collection, "/a", 20, seed=1)
    index = VectorIndex(folder, store)
    index.save(collection)
    view = index._view(collection)
    view._alive = ~np.isin(view._sealed.ids, [3, 4])
    assert "2 rows are missing from the index, 0 entries have no row" in index.check(collection).problem
    index.rebuild(collection)
    assert index.check(collection).problem == ""


@local_only
def test_a_folder_that_cannot_be_written_says_so(store: Store, collection: Collection, tmp_path: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("in the way")
    put(store, collection, "/a", 3, seed=1)
    with pytest.raises(IndexBroken, match="cannot write the index"):
        VectorIndex(blocked, store).save(collection)


@local_only
def test_dropping_a_collection_removes_its_files(store: Store, collection: Collection, folder: Path) -> None:
    put(store, collection, "/a", 3, seed=1)
    index = VectorIndex(folder, store)
    index.save(collection)
    store.collections.delete("default")
    index.drop(collection)
    assert list(folder.iterdir()) == []


def test_vectors_by_id(store: Store, collection: Collection, folder: Path) -> None:
    put(store, collection, "/a", 4, seed=1)
    index = opened(folder, store)
    rows = store.chunks.changes(collection, -1)
    index.search(collection, unit_vectors(1, 0), 1)
    found = index.vectors(collection, np.array([rows.ids[2], 10_000], dtype=np.int64))
    np.testing.assert_array_equal(found[0], rows.vectors[2])
    assert (found[1] == 0).all()


@local_only
def test_without_a_gpu_the_device_setting_changes_nothing(store: Store, collection: Collection, folder: Path) -> None:
    """As far as a machine without a GPU can test: the CUDA setting falls back to the same index object."""
    put(store, collection, "/a", 10, seed=1)
    index = VectorIndex(folder, store, IndexOptions(device="cuda"))
    assert index._view(collection)._sealed.on_gpu is None or gpus()
    assert_exact(index, store, collection)
    index.save(collection)
    assert VectorIndex(folder, store).check(collection).problem == ""
