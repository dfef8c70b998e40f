"""The real server, as its own process, with the real models: started, fed by another process, asked, stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from api import schemas
from api.server import require_free
from rag.settings import Settings
from rag.store import Store
from rag.types import InvalidInput
from tests.api.client import read_events
from tests.backend import database_url, variables

ROOT = Path(__file__).resolve().parents[2]
START_S = 90
STOP_S = 20
QUESTION = "How many days of annual leave does an employee get?"
DOCUMENTS = {
    "leave.md": "# Annual leave\n\nEvery employee gets 27 days of annual leave a year. Old leave expires in March.\n",
    "oil.txt": "Crude oil is measured in barrels. A barrel of crude oil holds 159 litres.\n",
}


@dataclass(frozen=True, slots=True)
class Server:
    process: subprocess.Popen[bytes]
    url: str
    home: Path
    log: Path
    environment: dict[str, str]


@pytest.fixture
def server(models_home: Path, tmp_path: Path) -> Iterator[Server]:
    home = tmp_path / "served"
    home.mkdir()
    (home / "models").symlink_to(models_home / "models")
    environment = {
        **os.environ,
        "ANSWERABLE_HOME": str(home),
        **variables(home),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "2",
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "answerable", "serve", "--port", str(port)]
    log = tmp_path / "server.log"
    with log.open("wb") as out, subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=out) as process:
        try:
            yield Server(process, f"http://127.0.0.1:{port}", home, log, environment)
        finally:
            process.kill()


def wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert server.process.poll() is None, server.log.read_text("utf-8")
        try:
            response = httpx.get(f"{server.url}/readyz", timeout=START_S)
        except httpx.TransportError:
            time.sleep(0.1)
            continue
        assert response.status_code == 200, response.text
        return
    raise AssertionError(f"not ready after {START_S} s")


def ingest(server: Server, folder: Path) -> None:
    folder.mkdir()
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, "utf-8")
    command = [sys.executable, "-m", "answerable", "ingest", str(folder)]
    subprocess.run(command, env=server.environment, cwd=folder, check=True, capture_output=True, timeout=START_S)


@pytest.mark.models
def test_a_server_is_started_fed_asked_and_stopped(server: Server, tmp_path: Path) -> None:
    wait_until_ready(server)
    with httpx.Client(base_url=server.url, timeout=START_S) as http:
        assert http.post("/v1/ask", json={"question": QUESTION}).status_code == 404  # nothing was ingested yet
        ingest(server, tmp_path / "documents")
        answer = http.post("/v1/ask", json={"question": QUESTION}).json()
        with http.stream("POST", "/v1/ask", json={"question": QUESTION, "stream": True}) as response:
            arrived = [(time.monotonic(), chunk) for chunk in response.iter_text()]
        for _ in range(3):  # clients who go away: the question after them is answered all the same
            with http.stream("POST", "/v1/ask", json={"question": QUESTION, "stream": True}) as response:
                next(response.iter_bytes())
        again = http.post("/v1/ask", json={"question": QUESTION}).json()
        hits = http.post("/v1/search", json={"query": "barrel of crude oil", "k": 1}).json()["hits"]
    schemas.Answer.model_validate(answer)
    assert Path(answer["passages"][0]["uri"]).name == "leave.md"
    assert Path(hits[0]["uri"]).name == "oil.txt"
    check_quotes(server.home, answer)
    events = read_events("".join(chunk for _, chunk in arrived))
    assert [name for name, _ in events][0 :: len(events) - 1] == ["passages", "answer"]
    assert events[-1][1]["answer"] == again["answer"] == answer["answer"]  # the same question, the same words
    assert len(arrived) > 2, "the events came all at once"
    stop(server)


def test_an_address_that_is_taken_is_told_before_anything_loads(tmp_path: Path) -> None:
    """The server loaded its models first, and then said no more than the number of an error."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = {**os.environ, "ANSWERABLE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "answerable", "serve", "--port", str(port)]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=START_S)
    assert done.returncode == 2
    assert done.stderr.startswith(f"answerable: --host 127.0.0.1 --port {port}: cannot listen there")
    assert "already in use" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.7"])  # neither is any machine's (RFC 2606, 5737)
def test_what_is_not_this_machines_cannot_be_listened_on(host: str) -> None:
    with pytest.raises(InvalidInput, match=f"--host {host} --port 8080: .* listen"):
        require_free(Settings(host=host, port=8080))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_free_address_can_be_listened_on(host: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    require_free(Settings(host=host, port=port))


def check_quotes(home: Path, answer: dict[str, object]) -> None:
    store = Store.open(database_url(home))
    shown = schemas.Answer.model_validate(answer)
    for quoted in [*shown.passages, *(citation for claim in shown.claims for citation in claim.citations)]:
        assert store.documents.get(quoted.document_id).text[quoted.start : quoted.end] == quoted.quote
    assert store.answers.get(shown.id) == answer
    store.close()


def stop(server: Server) -> None:
    """SIGTERM ends it in good order: no traceback, and the status that tells a supervisor that the signal did it."""
    server.process.send_signal(signal.SIGTERM)
    status = server.process.wait(STOP_S)
    log = server.log.read_text("utf-8")
    assert status in (0, -signal.SIGTERM), log
    assert "Traceback" not in log
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{server.url}/healthz")
