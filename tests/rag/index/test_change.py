"""The index under change: merging in the background, other processes, disks that are full, repair."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.index import IndexOptions, VectorIndex, view
from rag.index.build import Shelf
from rag.store import Collection, Store
from rag.types import IndexBroken
from tests.backend import database_url
from tests.rag.index import rows
from tests.rag.index.rows import DIMENSION, clustered, put


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(database_url(tmp_path, "rows.db"))


@pytest.fixture
def collection(store: Store) -> Collection:
    return store.collections.ensure("default", "encoder-a", DIMENSION)


def test_a_merge_in_the_background_changes_no_result(
    tmp_path: Path, store: Store, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "MERGE_LEAST", 300)
    monkeypatch.setattr(view, "MERGE_MOST", 300)
    index = VectorIndex(tmp_path / "index", store, IndexOptions("ivf-sq8"))
    for number in range(4):
        put(store, collection, f"/{number}", clustered(500, number))
    index.save(collection)
    seq = index._view(collection)._sealed.seq
    queries = clustered(20, 99)
    put(store, collection, "/more", clustered(400, 40))
    store.documents.delete(next(row.id for row in store.documents.all(collection) if row.uri == "/1"))
    before, _ = index.search(collection, queries, 10)  # starts the merge
    during, _ = index.search(collection, queries, 10)
    index.settle(collection)
    after, _ = index.search(collection, queries, 10)
    np.testing.assert_array_equal(during, before)
    assert np.mean([len(set(one) & set(two)) for one, two in zip(after, before, strict=True)]) >= 9.5
    assert index._view(collection)._sealed.seq > seq
    assert index.stats(collection).fresh == 0
    assert index.check(collection).problem == ""


def test_a_merge_that_fails_leaves_the_old_index_answering(
    tmp_path: Path, store: Store, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "MERGE_LEAST", 10)
    put(store, collection, "/a", clustered(50, 1))
    index = VectorIndex(tmp_path / "index", store)
    index.save(collection)

    def no_room(_shelf: Shelf, _like: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Shelf, "make", no_room)
    put(store, collection, "/b", clustered(50, 2))
    index.search(collection, clustered(1, 3), 100)
    index.settle(collection)
    ids, _ = index.search(collection, clustered(1, 3), 100)
    assert set(ids[0].tolist()) == set(store.chunks.changes(collection, -1).ids.tolist())


def test_another_process_adopts_files_instead_of_merging_itself(
    tmp_path: Path, store: Store, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, collection, "/a", clustered(50, 1))
    reader = VectorIndex(tmp_path / "index", store)
    reader.save(collection)
    put(store, collection, "/b", clustered(3000, 2))
    VectorIndex(tmp_path / "index", store).save(collection)
    monkeypatch.setattr(Shelf, "_gather", lambda *_: pytest.fail("merged by itself"))
    reader.search(collection, clustered(1, 3), 1)
    reader.settle(collection)
    assert reader.stats(collection).fresh == 0 and reader.stats(collection).vectors == 3050


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writing beyond ``size`` bytes of any file fails, as on a full disk (with another number)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("family", ["exact", "hnsw-sq8"])
def test_a_disk_that_fills_up_during_a_save_loses_nothing(
    tmp_path: Path, store: Store, collection: Collection, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    monkeypatch.setattr(view, "MERGE_MOST", 10**6)  # no merge in the background, which would save in its turn
    monkeypatch.setattr(view, "MERGE_LEAST", 10**6)
    put(store, collection, "/a", clustered(1500, 1))
    VectorIndex(tmp_path / "index", store, IndexOptions(family)).save(collection)
    put(store, collection, "/b", clustered(3000, 2))
    index = VectorIndex(tmp_path / "index", store, IndexOptions(family))
    room = 100_000 if family == "exact" else 4500 * DIMENSION * 2 + 1000  # before the vectors, or before the lists
    with files_of_at_most(room), pytest.raises(IndexBroken, match="the rows are safe"):
        index.rebuild(collection)
    ids, _ = index.search(collection, clustered(1, 3), 5000)
    assert (ids[0, :4500] >= 0).all()
    again = VectorIndex(tmp_path / "index", store, IndexOptions(family))
    assert again.stats(collection).problem == ""  # the files of before are whole
    assert again.stats(collection).vectors == 1500
    assert not list((tmp_path / "index").glob("*/.building-*"))
    again.save(collection)
    assert again.check(collection).problem == ""


def test_a_folder_that_cannot_be_written_still_answers(tmp_path: Path, store: Store, collection: Collection) -> None:
    (tmp_path / "in-the-way").write_text("")
    put(store, collection, "/a", clustered(3000, 1))
    ids, _ = VectorIndex(tmp_path / "in-the-way", store).search(collection, clustered(1, 3), 5)
    assert (ids >= 0).all()


def test_work_of_a_killed_process_is_cleared_away(tmp_path: Path, store: Store, collection: Collection) -> None:
    put(store, collection, "/a", clustered(50, 1))
    index = VectorIndex(tmp_path / "index", store)
    index.save(collection)
    left = next((tmp_path / "index").iterdir()) / ".building-gone"
    left.mkdir()
    (left / "vectors.npy").write_bytes(b"half")
    index.rebuild(collection)
    assert not left.exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_search_stays_right_and_quick_while_another_process_writes(tmp_path: Path) -> None:
    """10,000 inserts and 2,000 deletes by a real process: nothing deleted is found, all that came is, in a second."""
    database = database_url(tmp_path, "rows.db")
    store = Store.open(database)
    collection = store.collections.ensure("default", "encoder-a", DIMENSION)
    for number in range(2200):  # 2,000 of these documents, one chunk each, will be deleted
        put(store, collection, f"/old/{number}", clustered(1, number))
    put(store, collection, "/many", clustered(40_000, 1))
    index = VectorIndex(tmp_path / "index", store)
    index.save(collection)
    queries = clustered(400, 99)
    idle = [timed_search(index, collection, queries[n : n + 1]) for n in range(400)]
    command = [sys.executable, "-m", "tests.rag.index.rows", database, "1000", "2000"]
    writer = subprocess.Popen(command, cwd=Path(rows.__file__).resolve().parents[3])
    busy, turn = [], 0
    while writer.poll() is None:
        store_ids = set(store.chunks.changes(collection, -1).ids.tolist()) if turn % 400 == 0 else None
        seen_at = time.monotonic()
        if store_ids is not None:  # what stood before the search, and still stands after it, must be what it finds
            ids, _ = index.search(collection, queries[:1], 60_000)
            still = set(store.chunks.changes(collection, -1).ids.tolist())
            found = set(ids[0][ids[0] >= 0].tolist())
            assert store_ids & still <= found and time.monotonic() - seen_at < 5
        busy.append(timed_search(index, collection, queries[turn % 400 : turn % 400 + 1]))
        turn += 1
    assert writer.returncode == 0
    ids, _ = index.search(collection, queries[:1], 60_000)
    assert set(ids[0][ids[0] >= 0].tolist()) == set(store.chunks.changes(collection, -1).ids.tolist())
    index.settle(collection)
    assert index.check(collection).problem == ""
    p99 = [float(np.percentile(times, 99)) for times in (idle, busy)]
    assert p99[1] < 2 * p99[0] + 0.02, p99  # 20 ms for a machine that does other things, too


def timed_search(index: VectorIndex, collection: Collection, query: NDArray[np.float32]) -> float:
    started = time.perf_counter()
    index.search(collection, query, 10)
    return time.perf_counter() - started
