"""Two API and two ingest processes on one PostgreSQL and one Milvus, all at once; PostgreSQL is restarted meanwhile.

The processes, the database, the vectors and HTTP are real; the models are the fakes of tests/fakes.py, so that what is
tried is the sharing and not the models.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import backend
from tests.api.live import ROOT
from tests.fakes import Shelf
from tests.servers import PostgresServer, free_port, milvus_server, postgres_server

SCALE = float(os.environ.get("ANSWERABLE_TEST_SCALE", "0.1"))  # a share of everything, for a quick look
DOCUMENTS, SHARED, DELETED, QUESTIONS = (int(SCALE * count) for count in (1000, 100, 200, 2000))
ASKERS = 4
START_S = 300.0


@dataclass(slots=True)
class Seen:
    """What the clients saw: documents deleted for sure, statuses, and passages served after their deletion."""

    deleted: dict[str, float] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    messages: set[str] = field(default_factory=set)
    ghosts: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, PostgresServer]]:
    home = tmp_path / "home"
    home.mkdir()
    with postgres_server() as postgres, milvus_server(tmp_path / "milvus") as milvus:
        monkeypatch.setattr(backend, "SERVERS", True)
        monkeypatch.setenv("ANSWERABLE_TEST_BACKEND", "servers")
        monkeypatch.setenv(backend.POSTGRES, postgres.url("").rstrip("/"))
        monkeypatch.setenv(backend.MILVUS, milvus)
        yield home, postgres


@pytest.mark.postgres
@pytest.mark.long
@pytest.mark.timeout(3000)
def test_two_replicas_two_ingests_and_a_restart(home: tuple[Path, PostgresServer], tmp_path: Path) -> None:
    path, postgres = home
    folders = write_files(tmp_path)
    Shelf.open(path).put({})
    seen = Seen()
    with ExitStack() as stack:
        urls = [stack.enter_context(replica(path)) for _ in range(2)]
        ingests = [start("ingest", str(path), str(folders[n]), str(folders[2])) for n in range(2)]
        clients = [threading.Thread(target=ask, args=(urls, number, seen)) for number in range(ASKERS)]
        clients.append(threading.Thread(target=delete_some, args=(urls, seen)))
        for client in clients:
            client.start()
        wait_for_both(urls[0])
        postgres.stop()
        time.sleep(2)
        postgres.start()
        for process in ingests:
            finish(process, path, folders)
        for client in clients:
            client.join()
        assert seen.ghosts == []
        assert set(seen.statuses) <= {200, 503}, seen.statuses
        assert seen.statuses[200] > 0.5 * QUESTIONS
        assert all("database" in message for message in seen.messages), seen.messages
        check_all(path, urls, seen)


def write_files(folder: Path) -> list[Path]:
    """Two folders of their own and one that both ingests read, DOCUMENTS files in all."""
    folders = [folder / name for name in ("one", "two", "both")]
    for made in folders:
        made.mkdir()
    for number in range(DOCUMENTS):
        target = folders[2] if number < SHARED else folders[number % 2]
        (target / f"{number}.txt").write_text(f"Item k{number} costs {number} pounds. It weighs {number} grams.")
    return folders


def wait_for_both(url: str) -> None:
    """Until both ingests have written something: on a busy machine their start takes long."""
    until = time.monotonic() + START_S
    uris: list[str] = []
    while not all(any(f"/{folder}/" in uri for uri in uris) for folder in ("one", "two")):
        assert time.monotonic() < until, "the ingests did not begin"
        time.sleep(0.2)
        listed = httpx.get(f"{url}/v1/documents", params={"limit": 1000}, timeout=60).json()
        uris = [row["uri"] for row in listed["documents"]]


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.api.replica", *arguments]
    pipe = subprocess.PIPE if arguments[0] == "ingest" else None
    return subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=pipe, stderr=pipe, text=True)


def finish(process: subprocess.Popen[str], home: Path, folders: list[Path]) -> None:
    """The ingest's end; one that the restart broke said so in one line, and is done by running it again."""
    out, error = process.communicate(timeout=2000)
    if process.returncode:
        assert error.startswith("answerable: database "), error
        assert error.count("\n") == 1, error
        out, error = start("ingest", str(home), *map(str, folders)).communicate(timeout=2000)
    assert json.loads(out)["failed"] == [], error


@contextmanager
def replica(home: Path) -> Iterator[str]:
    url = f"http://127.0.0.1:{(port := free_port())}"
    process = start("serve", str(home), str(port))
    try:
        until = time.monotonic() + START_S
        while True:
            assert process.poll() is None and time.monotonic() < until
            try:
                if httpx.get(f"{url}/readyz", timeout=60).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.2)
        yield url
        assert process.poll() is None, "a replica died"
    finally:
        process.kill()
        process.wait()


def ask(urls: list[str], number: int, seen: Seen) -> None:
    """A share of the questions, at both replicas by turns; one in twenty is answered, the others are searches."""
    with httpx.Client(timeout=120) as http:
        for turn in range(QUESTIONS // ASKERS):
            item = (turn * 7 + number * 251) % DOCUMENTS
            before = time.monotonic()
            url = urls[turn % 2]
            if turn % 20:
                response = http.post(f"{url}/v1/search", json={"query": f"Item k{item} costs", "k": 5})
            else:
                response = http.post(f"{url}/v1/ask", json={"question": f"What does item k{item} cost?"})
            note(response, before, seen)


def note(response: httpx.Response, before: float, seen: Seen) -> None:
    body: dict[str, Any] = response.json()
    served = {hit["document_id"] for hit in body.get("hits", body.get("passages", []))}
    with seen.lock:
        seen.statuses[response.status_code] += 1
        if response.status_code != 200:
            seen.messages.add(body["error"]["message"])
        seen.ghosts += [key for key in served if seen.deleted.get(key, float("inf")) < before]


def delete_some(urls: list[str], seen: Seen) -> None:
    """Delete DELETED documents of those that only one ingest reads, as they come in."""
    with httpx.Client(timeout=120) as http:
        while len(seen.deleted) < DELETED:
            url = urls[len(seen.deleted) % 2]
            listed = http.get(f"{url}/v1/documents", params={"limit": 1000})
            if listed.status_code != 200:
                continue
            rows = [row for row in listed.json()["documents"] if "/both/" not in row["uri"]]
            for row in rows[:: max(1, len(rows) // 20)][: DELETED - len(seen.deleted)]:
                done = http.delete(f"{url}/v1/documents/{row['id']}")
                if done.status_code in (200, 204, 404):  # 404: the restart ate the answer to an earlier try
                    seen.deleted[row["id"]] = time.monotonic()
            time.sleep(0.2)


def check_all(home: Path, urls: list[str], seen: Seen) -> None:
    """Nothing lost, nothing doubled, index and rows agree, and both replicas know it."""
    shelf = Shelf.open(home)
    target = shelf.store.collections.get("default")
    documents = shelf.store.documents.all(target)
    assert len(documents) == len({row.uri for row in documents}) == DOCUMENTS - DELETED
    assert not {row.id for row in documents} & set(seen.deleted)
    changes = shelf.store.chunks.changes(target, -1)
    passages = shelf.store.chunks.passages(changes.ids).values()
    assert len({(p.document_id, p.start) for p in passages}) == len(passages) == sum(d.chunk_count for d in documents)
    assert shelf.retriever.index.check(target).problem == ""
    for url in urls:
        for row in documents[::40]:
            name = Path(row.uri).stem
            found = httpx.post(
                f"{url}/v1/search", json={"query": f"Item k{name} costs {name} pounds", "k": 3}, timeout=60
            )
            assert row.id in [hit["document_id"] for hit in found.json()["hits"]]
