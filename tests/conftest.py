"""Fixtures that several folders share: a HOME with the real base weights, pulled once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

# Before torch and FAISS are loaded, here and in the processes that tests start: the models of the tests are so small
# that two threads only wait for each other, six times as long as one computes when another program wants a core.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from rag.store.database import Database, open_database
from rag.weights_pull import pull
from rag.weights_trained import trained_models
from tests.backend import MILVUS, POSTGRES, SERVERS
from tests.servers import PostgresServer, milvus_server, postgres_server


@pytest.fixture(scope="session")
def models_home() -> Path:
    """A HOME whose models/ holds the real base weights; pulled on first use, kept for the next run."""
    root = Path(__file__).resolve().parent.parent
    home = Path(os.environ.get("ANSWERABLE_TEST_HOME", root / ".cache" / "test-home"))
    source = os.environ.get("ANSWERABLE_BASE_WEIGHTS") or None
    pull(home, source, lambda _line: None, trained=trained_models())
    return home


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for tests that leave it running."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session", autouse=SERVERS)
def _servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests/backend.py needs where the suite runs on servers."""
    server: PostgresServer = request.getfixturevalue("postgres")
    os.environ[POSTGRES] = server.url("").rstrip("/")
    with milvus_server(tmp_path_factory.mktemp("milvus") / "data") as url:
        os.environ[MILVUS] = url
        yield


@pytest.fixture(autouse=SERVERS)
def _connections_end_with_their_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server takes only so many: what a test leaves open is closed after it."""
    opened: list[Database] = []

    def opening(url: str) -> Database:
        opened.append(open_database(url))
        return opened[-1]

    monkeypatch.setattr("rag.store.open_database", opening)
    yield
    for database in opened:
        database.close()


@pytest.fixture(autouse=True)
def _plain_logs() -> Iterator[None]:
    """A command that a test runs in this process sets up logging to a stream that is gone after it."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the operator's reaches a test, and no test writes into the operator's HOME."""
    for name in list(os.environ):
        if name.startswith("ANSWERABLE_") and not name.startswith(("ANSWERABLE_TEST_", "ANSWERABLE_BASE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ANSWERABLE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
