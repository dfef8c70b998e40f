"""Copying a database into another: equal rows, taken up after a kill, refused where it would destroy something."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psycopg
import pytest

from rag.index import IndexOptions, VectorIndex
from rag.store import Outcome, Source, Store, copy, document_key
from rag.types import Chunk, InvalidInput, ParsedDocument, StoreUnavailable
from tests.rag.index.rows import DIMENSION, clustered
from tests.servers import PostgresServer

ROOT = Path(__file__).resolve().parents[2]
WORDS = "heater battery mast pump valve sensor cable relay motor filter gauge panel switch rotor lamp".split()


def fill(store: Store, documents: int, chunks: int, first: int = 0) -> None:
    """Documents of ``chunks`` chunks with words of their own, and a row of everything else."""
    target = store.collections.ensure("default", "encoder-a", DIMENSION)
    for number in range(first, first + documents):
        texts = [
            f"{WORDS[(number * 7 + n) % 15]} {WORDS[(number + 3 * n) % 15]} k{number} n{n}. " for n in range(chunks)
        ]
        starts = np.cumsum([0, *map(len, texts)])
        parts = [Chunk(int(at), int(at) + len(text), text) for at, text in zip(starts, texts, strict=False)]
        source = Source(f"/{number}.txt", f"h{number}", bytes(range(256)))
        document = ParsedDocument(f"Manual {number}", "".join(texts), "txt/1")
        store.documents.put(target, source, document, parts, clustered(chunks, number))
    key, _ = store.keys.create("alice", "write")
    store.answers.put(key.id, "default", {"answer": "42 °C\0"})
    store.feedback.put(key.id, "down", "43", key.id)
    store.jobs.add("default", ["a.txt"])
    store.outcomes.record(target, [Outcome("/0.txt", "added")])
    store.labels.put(store.documents.all(target)[0].id, {"a": 1})


def searches(store: Store, folder: Path) -> list[list[int]]:
    """What vectors and words find."""
    target = store.collections.get("default")
    found = list(VectorIndex(folder, store, IndexOptions("exact")).search(target, clustered(20, 999), 10)[0])
    words = [store.chunks.search(target, [WORDS[n], f"k{n}"], 10) for n in range(15)]
    return [*(row.tolist() for row in found), *([i for i, _ in row] for row in words)]


@pytest.fixture
def source(tmp_path: Path) -> Store:
    return Store.open(f"sqlite:///{tmp_path / 'source.db'}")


def other(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'target.db'}"


def nothing(_done: int, _total: int | None) -> None:
    pass


def test_a_copy_is_the_same_store(tmp_path: Path, source: Store) -> None:
    fill(source, 30, 3)
    source.documents.delete(document_key("default", "/29.txt"))
    copied = source.copy_to(other(tmp_path), nothing)
    assert copied.rows["chunks"] == 87 and copied.rows["deletions"] == 3 and copied.written == sum(copied.rows.values())
    target = Store.open(other(tmp_path))
    assert (target.id, target.chunks.seq()) == (source.id, source.chunks.seq())
    assert searches(target, tmp_path / "index") == searches(source, tmp_path / "index")
    last = max(source.chunks.changes(source.collections.get("default"), -1).ids)
    fill(target, 1, 1, first=100)
    assert max(target.chunks.changes(target.collections.get("default"), -1).ids) > last + 3  # no id comes again
    assert source.copy_to(f"sqlite:///{tmp_path / 'third.db'}", nothing).rows == copied.rows


def test_a_second_copy_brings_what_changed_and_no_more(tmp_path: Path, source: Store) -> None:
    fill(source, 20, 2)
    source.copy_to(other(tmp_path), nothing)
    assert source.copy_to(other(tmp_path), nothing).written == 0
    target = source.collections.get("default")
    source.documents.delete(source.documents.all(target)[0].id)
    source.documents.rename(target, "/5.txt", "/new.txt", "New")
    copied = source.copy_to(other(tmp_path), nothing)
    assert copied.deleted > 0 and 0 < copied.written < 30


def test_a_copy_that_has_gone_on_is_not_undone(tmp_path: Path, source: Store) -> None:
    fill(source, 2, 1)
    source.copy_to(other(tmp_path), nothing)
    target = Store.open(other(tmp_path))
    fill(target, 1, 1, first=10)
    with pytest.raises(InvalidInput, match="has gone on since it was copied"):
        source.copy_to(other(tmp_path), nothing)


def test_another_store_s_rows_are_not_overwritten(tmp_path: Path, source: Store) -> None:
    fill(source, 2, 1)
    fill(Store.open(other(tmp_path)), 1, 1)
    with pytest.raises(InvalidInput, match="holds rows of another store"):
        source.copy_to(other(tmp_path), nothing)


def test_nobody_works_on_half_a_copy(tmp_path: Path, source: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(source, 5, 1)

    def stop(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(copy, "_compare", stop)
        source.copy_to(other(tmp_path), nothing)
    with pytest.raises(StoreUnavailable, match="a copy that is not complete; run answerable migrate again"):
        Store.open(other(tmp_path))
    source.copy_to(other(tmp_path), nothing)
    assert Store.open(other(tmp_path)).id == source.id


@pytest.mark.postgres
@pytest.mark.long
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("documents", [int(os.environ.get("ANSWERABLE_TEST_COPY", "250"))])
def test_fifty_thousand_chunks_to_postgresql_with_a_kill(
    tmp_path: Path, source: Store, postgres: PostgresServer, documents: int
) -> None:
    """The command is killed in the middle and run again; rows, vectors' and words' finds are the same as before."""
    fill(source, documents, 20)
    before = searches(source, tmp_path / "index")
    url = postgres.create(f"copy{os.getpid()}")
    environment = os.environ | {
        "ANSWERABLE_DATABASE_URL": f"sqlite:///{tmp_path / 'source.db'}",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "answerable", "migrate", "--to", url, "--json"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    kept = wait_for_rows(url, documents * 8, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=1800)
    report = json.loads(done.stdout)
    assert report["rows"]["chunks"] == documents * 20
    assert report["written"] <= sum(report["rows"].values()) - kept  # what was there is not written again
    target = Store.open(url)
    assert searches(target, tmp_path / "index") == before
    assert VectorIndex(tmp_path / "index", target).check(target.collections.get("default")).problem == ""
    sys.stderr.write(f"copied {documents * 20} chunks: {report['seconds']} s after the kill\n")


def wait_for_rows(url: str, rows: int, process: subprocess.Popen[bytes]) -> int:
    """How many chunks there are, once there are at least ``rows``."""
    while True:
        assert process.poll() is None, "the copy ended before it could be killed"
        time.sleep(0.1)
        try:
            with psycopg.connect(url) as connection:
                found = connection.execute("SELECT count(*) FROM chunks").fetchone()
        except psycopg.Error:  # the tables are being made
            continue
        if found and found[0] >= rows:
            return int(found[0])
