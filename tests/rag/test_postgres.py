"""PostgreSQL alone: BM25 as SQLite's, a server that goes away and comes back, errors in one line."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest

from rag.retrieve import content_words
from rag.store import Source, Store
from rag.store import database as connecting
from rag.types import Chunk, InvalidInput, ParsedDocument, StoreLost, StoreUnavailable
from tests.servers import PostgresServer, postgres_server

pytestmark = pytest.mark.postgres

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ODD = "The naïve café's Heaters draw 9.5 W: foo_bar, x-ray, U.S.A., 1e5, running relational 東京 http://a.example/b?c=d"


@pytest.fixture
def store(postgres: PostgresServer, tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(postgres.create(f"t{abs(hash(tmp_path))}"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def own() -> Iterator[PostgresServer]:
    """A server that tests may stop."""
    with postgres_server() as server:
        yield server


def put(store: Store, texts: list[str], uri: str = "/a") -> str:
    target = store.collections.ensure("default", "encoder-a", 4)
    parts, start = [], 0
    for text in texts:
        parts.append(Chunk(start, start + len(text), text, heading="Title"))
        start += len(text)
    document = ParsedDocument("Title", "".join(texts), "txt/1")
    return store.documents.put(target, Source(uri, "h"), document, parts, np.eye(4, dtype=np.float32)[[0] * len(parts)])


def paragraphs() -> list[str]:
    """Those of the examples that are text, and one with all that words can be."""
    files = [path for path in sorted(EXAMPLES.rglob("*")) if path.suffix in (".md", ".txt", ".html")]
    found = [part.strip() for path in files for part in path.read_text("utf-8").split("\n\n")]
    return [*(part for part in found if part), ODD]


def test_bm25_is_that_of_sqlite(store: Store, tmp_path: Path) -> None:
    """The same chunks, the same words: the same order and nearly the same scores."""
    texts = paragraphs()
    other = Store.open(f"sqlite:///{tmp_path / 'rows.db'}")
    put(store, texts)
    put(other, texts)
    queries = [content_words(text)[:12] for text in texts] + [("heaters", "heater"), ("cafe",), ("東京",), ("usa",)]
    same_first = overlap = differing = 0.0
    for words in queries:
        found, expected = (s.chunks.search(s.collections.get("default"), words, 10) for s in (store, other))
        same_first += [i for i, _ in found[:1]] == [i for i, _ in expected[:1]]
        overlap += len({i for i, _ in found} & {i for i, _ in expected}) / max(1, len(expected))
        scores = dict(expected)
        differing += any(abs(score - scores.get(i, score)) > 0.02 * scores.get(i, score) for i, score in found)
    count = len(queries)
    assert same_first >= 0.98 * count and overlap >= 0.98 * count and differing <= 0.05 * count, (
        same_first / count,
        overlap / count,
        differing / count,
    )
    other.close()


def test_word_counts_are_turned_back_from_ranks(store: Store) -> None:
    """ts_rank gives back how often a word stands there, for 1 to 255 times."""
    with psycopg.connect(store._database.kind.engine.url.set(drivername="postgresql").render_as_string()) as connection:
        rows = connection.execute(
            "SELECT n, round(1 / (1.64493406685 * (1 - ts_rank('{1,1,1,1}', chunk_words(repeat('cat ', n)),"
            " 'cat'::tsquery)::float8)) - 0.5) FROM generate_series(1, 255) AS n"
        ).fetchall()
    assert all(n == found for n, found in rows)


def test_totals_follow_every_change(store: Store) -> None:
    key = put(store, ["One two three.", "Four five."])
    put(store, ["Six."], "/b")
    store.documents.rename(store.collections.get("default"), "/b", "/c", "Another long title")
    store.documents.delete(key)
    with psycopg.connect(store._database.kind.engine.url.set(drivername="postgresql").render_as_string()) as connection:
        kept = connection.execute("SELECT chunks, words FROM chunks_fts_totals").fetchone()
        true = connection.execute("SELECT count(*), sum(length) FROM chunks_fts").fetchone()
    assert kept == true == (1, 4)


def test_nul_finds_nothing_and_fails_nothing(store: Store) -> None:
    key = put(store, ["One\0two."])
    assert store.documents.get(key).text == "One\N{REPLACEMENT CHARACTER}two."
    assert store.keys.find("\0") is None
    with pytest.raises(Exception, match="does not exist"):
        store.documents.get("\0")
    assert store.chunks.search(store.collections.get("default"), ["\0", "two"], 5)


def test_a_restart_is_waited_for(own: PostgresServer) -> None:
    store = Store.open(own.create("restarted"))
    put(store, ["One."])
    own.stop()
    back = threading.Timer(1.0, own.start)
    back.start()
    started = time.monotonic()
    assert store.chunks.seq() == 1
    assert time.monotonic() - started > 0.5
    put(store, ["Two."], "/b")
    back.join()
    store.close()


def test_a_connection_that_breaks_in_the_middle_undoes_the_write(own: PostgresServer) -> None:
    store = Store.open(own.create("broken"))
    put(store, ["One."])
    with pytest.raises(StoreLost, match="the connection broke; try again"), store._database.write() as connection:
        connection.exec_driver_sql("DELETE FROM chunks")
        own.stop("immediate")
        own.start()
        connection.exec_driver_sql("SELECT 1")
    assert store.chunks.seq() == 1
    assert store.chunks.count(store.collections.get("default")) == 1
    store.close()


def test_a_server_that_stays_away_is_one_clear_line(own: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(own.create("away"))
    monkeypatch.setattr(connecting, "AWAY_S", 0.5)
    own.stop()
    try:
        with pytest.raises(StoreUnavailable, match="check that the server runs") as caught:
            store.chunks.seq()
        assert "\n" not in str(caught.value)
    finally:
        own.start()
    assert store.chunks.seq() == 0
    store.close()


def test_turns_are_one_process_at_a_time(store: Store) -> None:
    with store.turn("x", 1) as mine, store.turn("x", 0.1) as theirs, store.turn("y", 0.1) as another:
        assert (mine, theirs, another) == (True, False, True)
    with store.turn("x", 0.1) as mine:
        assert mine


def test_urls_that_lead_nowhere(own: PostgresServer) -> None:
    with pytest.raises(StoreUnavailable, match="create the database first"):
        Store.open(own.url("nowhere"))
    with pytest.raises(StoreUnavailable, match="check that the server runs") as caught:
        Store.open("postgresql://user:secret@127.0.0.1:9/x")
    assert "secret" not in str(caught.value)
    with pytest.raises(InvalidInput, match="use sqlite:"):
        Store.open("postgresql://user:secret@127.0.0.1:9")
    latin = own.url("latin")
    with psycopg.connect(own.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(StoreUnavailable, match="keeps text as LATIN1; create one with"):
        Store.open(latin)
