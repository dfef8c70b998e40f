"""The store: whole documents or nothing, ordered changes, clear errors."""

from __future__ import annotations

import re
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.store import Collection, Source, Store, document_key
from rag.store.database import HEAD, MIGRATIONS
from rag.types import Chunk, EncoderChanged, InvalidInput, NotFound, Page, ParsedDocument, StoreUnavailable
from tests.backend import database_url, local_only

DIMENSION = 8


@pytest.fixture
def url(tmp_path: Path) -> str:
    return database_url(tmp_path / "rows")


@pytest.fixture
def store(url: str) -> Store:
    return Store.open(url)


@pytest.fixture
def collection(store: Store) -> Collection:
    return store.collections.ensure("default", "encoder-a", DIMENSION)


def unit_vectors(count: int, seed: int = 0) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def put(store: Store, collection: Collection, uri: str, *sentences: str) -> str:
    text = "\n".join(sentences)
    parts, start = [], 0
    for sentence in sentences:
        parts.append(Chunk(start, start + len(sentence), sentence, heading="Manual", page=1))
        start += len(sentence) + 1
    parsed = ParsedDocument("Manual", text, "txt/1", pages=(Page(1, 0, len(text)),))
    return store.documents.put(collection, Source(uri, f"hash of {text}"), parsed, parts, unit_vectors(len(parts)))


def test_a_document_comes_back_as_it_went_in(store: Store, collection: Collection) -> None:
    key = put(store, collection, "/a.txt", "The heater draws 9 W.", "It starts below 3 °C. 🌡")
    row = store.documents.get(key)
    assert (row.uri, row.title, row.chunk_count) == ("/a.txt", "Manual", 2)
    ids = store.chunks.changes(collection, -1).ids
    for passage in store.chunks.passages(ids).values():
        assert row.text[passage.start : passage.end] == passage.text
    assert store.documents.pages([key]) == {key: (Page(1, 0, len(row.text)),)}


def test_putting_the_same_uri_again_replaces_it(store: Store, collection: Collection) -> None:
    first = put(store, collection, "/a.txt", "old one", "old two")
    second = put(store, collection, "/a.txt", "new")
    assert first == second == document_key("default", "/a.txt")
    assert store.chunks.count(collection) == 1
    assert [d.uri for d in store.documents.all(collection)] == ["/a.txt"]


def test_changes_since_a_number_are_exactly_what_came_and_went(store: Store, collection: Collection) -> None:
    key = put(store, collection, "/a.txt", "alpha", "beta")
    seen = store.chunks.changes(collection, -1)
    assert len(seen.ids) == 2 and len(seen.deleted) == 0
    put(store, collection, "/b.txt", "gamma")
    store.documents.delete(key)
    later = store.chunks.changes(collection, seen.seq)
    assert len(later.ids) == 1
    assert sorted(later.deleted) == sorted(seen.ids)
    assert store.chunks.seq() == later.seq
    nothing = store.chunks.changes(collection, later.seq)
    assert len(nothing.ids) == len(nothing.deleted) == 0


def test_vectors_are_kept_as_float16(store: Store, collection: Collection) -> None:
    put(store, collection, "/a.txt", "alpha", "beta")
    kept = store.chunks.changes(collection, -1).vectors
    np.testing.assert_array_equal(kept, unit_vectors(2).astype(np.float16).astype(np.float32))


def test_ids_of_deleted_chunks_never_come_back(store: Store, collection: Collection) -> None:
    key = put(store, collection, "/a.txt", "alpha")
    (old,) = store.chunks.changes(collection, -1).ids
    store.documents.delete(key)
    put(store, collection, "/b.txt", "beta")
    (new,) = store.chunks.changes(collection, -1).ids
    assert new > old


def test_full_text_follows_every_change(store: Store, collection: Collection) -> None:
    put(store, collection, "/a.txt", "The heater draws nine watts.", "Batteries last a year.")
    key = put(store, collection, "/b.txt", "The heating was replaced.")
    assert len(store.chunks.search(collection, ["heaters"], 10)) == 1  # stemmed, and 'heating' has another stem
    assert len(store.chunks.search(collection, ["replace"], 10)) == 1
    store.documents.delete(key)
    assert store.chunks.search(collection, ["replace"], 10) == []


def test_collections_do_not_see_each_other(store: Store, collection: Collection) -> None:
    other = store.collections.ensure("other", "encoder-a", DIMENSION)
    put(store, collection, "/a.txt", "The heater draws nine watts.")
    assert put(store, other, "/a.txt", "The heater draws ten watts.") != document_key("default", "/a.txt")
    assert len(store.chunks.search(other, ["heater"], 10)) == 1
    assert store.collections.delete("other") == 1
    with pytest.raises(NotFound, match="there are: default"):
        store.collections.get("other")
    assert store.chunks.count(collection) == 1
    assert len(store.chunks.search(collection, ["heater"], 10)) == 1


def test_another_encoder_is_refused_with_the_cure(store: Store, collection: Collection) -> None:
    with pytest.raises(EncoderChanged, match="index rebuild --collection default --embed"):
        store.collections.ensure("default", "encoder-b", DIMENSION)


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "x" * 65, "ü", "a/b"])
def test_bad_collection_names_are_refused(store: Store, name: str) -> None:
    with pytest.raises(InvalidInput, match="collection name"):
        store.collections.ensure(name, "encoder-a", DIMENSION)


def test_vectors_of_the_wrong_shape_are_refused_and_nothing_is_written(store: Store, collection: Collection) -> None:
    part = Chunk(0, 5, "alpha")
    with pytest.raises(InvalidInput, match=re.escape("(1, 3), expected (1, 8)")):
        store.documents.put(
            collection, Source("/a.txt", "h"), ParsedDocument("", "alpha", "txt/1"), [part], np.ones((1, 3), np.float32)
        )
    assert store.documents.all(collection) == ()


def test_unknown_documents_are_not_found(store: Store, collection: Collection) -> None:
    for act in (store.documents.get, store.documents.delete):
        with pytest.raises(NotFound, match="'nope'"):
            act("nope")


def test_writers_take_turns(url: str, collection: Collection) -> None:
    """Many writers at once, each with its own connection: all rows arrive, every number is taken once."""
    errors: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            mine = Store.open(url)
            target = mine.collections.ensure("default", "encoder-a", DIMENSION)
            for i in range(10):
                put(mine, target, f"/{worker}-{i}.txt", f"text {worker} {i}")
            mine.close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    store = Store.open(url)
    assert store.chunks.count(collection) == 40
    assert store.chunks.seq() == 40


def test_two_processes_may_create_the_tables_at_once(url: str) -> None:
    stores: list[Store] = []
    threads = [threading.Thread(target=lambda: stores.append(Store.open(url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({store.id for store in stores}) == 1 and len(stores) == 4


def test_head_is_the_newest_migration() -> None:
    revisions = [
        re.search(r'^revision = "(\w+)"', path.read_text(), re.M) for path in (MIGRATIONS / "versions").glob("*.py")
    ]
    assert max(found.group(1) for found in revisions if found) == HEAD


def test_migrations_make_what_the_tables_say(url: str, store: Store) -> None:
    """Alembic compares the migrated database with tables.py; full-text tables are each database's own."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import Text, TypeDecorator

    from rag.store.tables import metadata

    def other_type(_context: object, _column: object, _ours: object, found: object, meant: object) -> bool | None:
        return not isinstance(found, Text) if isinstance(meant, TypeDecorator) else None  # None: as Alembic does

    def named(name: object, _kind: object, _parents: object) -> bool:
        return not str(name).startswith("chunks_fts")

    with store._database.kind.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": named, "compare_type": other_type})
        assert compare_metadata(context, metadata) == []


@local_only
def test_a_newer_schema_is_refused(url: str, store: Store, tmp_path: Path) -> None:
    store.close()
    with sqlite3.connect(tmp_path / "rows" / "answerable.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreUnavailable, match="schema 9999, newer than this program's"):
        Store.open(url)


@local_only
def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE cats (name TEXT)")
    with pytest.raises(StoreUnavailable, match="another program"):
        Store.open(f"sqlite:///{path}")


@local_only
def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    path.write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(StoreUnavailable, match="move it away or restore"):
        Store.open(f"sqlite:///{path}")


@pytest.mark.parametrize("url", ["nonsense", "mysql://u:secret@h/db", "postgresql://u:secret@h", "sqlite://"])
def test_urls_that_cannot_be_used_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="DATABASE_URL") as caught:
        Store.open(url)
    assert "secret" not in str(caught.value)


def test_answers_are_kept(store: Store) -> None:
    store.answers.put("a1", "default", {"answer": "42 °C", "claims": []})
    assert store.answers.get("a1") == {"answer": "42 °C", "claims": []}
    with pytest.raises(NotFound, match="a2"):
        store.answers.get("a2")


def test_new_vectors_come_with_their_encoder_or_not_at_all(store: Store, collection: Collection) -> None:
    put(store, collection, "/a.txt", "alpha", "beta")
    before = store.chunks.changes(collection, -1)
    with pytest.raises(StoreUnavailable, match="changed while"):
        store.chunks.set_vectors(collection, "encoder-b", [int(before.ids[0])], unit_vectors(1, seed=1))
    store.chunks.set_vectors(collection, "encoder-b", [int(i) for i in before.ids], unit_vectors(2, seed=1))
    after = store.collections.get("default")
    assert after.encoder == "encoder-b"
    changed = store.chunks.changes(after, before.seq)
    np.testing.assert_array_equal(changed.ids, before.ids)
    assert not np.array_equal(changed.vectors, before.vectors)
