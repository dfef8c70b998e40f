"""Real servers for tests: Debian's PostgreSQL as a cluster in a temporary folder, and milvus-lite as a server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from rag.index.milvus_server import connect
from rag.types import IndexBroken

_WAIT_S = 60.0
_SETTINGS = "fsync=off shared_buffers=64MB max_connections=300 listen_addresses=127.0.0.1".split()


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A cluster of its own, that anybody on this machine may enter as user postgres."""

    programs: Path
    folder: Path
    port: int

    def url(self, database: str) -> str:
        """The address of one of its databases, as ANSWERABLE_DATABASE_URL takes it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """A database of that name, made where it is not there; returns its address."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
            if not known:
                connection.execute(f'CREATE DATABASE "{database}"')
        return self.url(database)

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = " ".join(f"-c {one}" for one in _SETTINGS)
        log = self.folder / "log"
        self._control("start", "-w", "-l", str(log), "-o", f"-p {self.port} -k {self.folder} {options}")

    def stop(self, how: str = "fast") -> None:
        """Stop it: "fast" ends all connections, "immediate" is as if it had crashed."""
        self._control("stop", "-w", "-m", how)

    def _control(self, *arguments: str) -> None:
        _as_postgres([str(self.programs / "pg_ctl"), "-D", str(self.folder / "data"), *arguments])


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running server; skips the test where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not found:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="answerable-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    server = PostgresServer(found[-1].parent, folder, free_port())
    try:
        initdb = [str(server.programs / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust"]
        _as_postgres([*initdb, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
        server.start()
        yield server
        server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_postgres(command: list[str]) -> None:
    """Run a command as the user postgres where this is root, for the server refuses to run as root."""
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    with tempfile.TemporaryFile() as out:  # not a pipe: the server would keep it open for as long as it lives
        done = subprocess.run([*prefix, *command], stdout=out, stderr=out, cwd="/", check=False)
        out.seek(0)
        assert done.returncode == 0, out.read().decode()


@contextmanager
def milvus_server(folder: Path) -> Iterator[str]:
    """milvus-lite as a process of its own, which several others may use; gives its address."""
    port = free_port()
    command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(folder), "--host", "127.0.0.1"]
    with (
        (folder.parent / f"{folder.name}.log").open("wb") as log,
        subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log) as process,
    ):
        try:
            _wait_for(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    from pymilvus import MilvusException

    until = time.monotonic() + _WAIT_S
    while True:
        assert process.poll() is None and time.monotonic() < until, "milvus-lite did not start"
        try:
            connect(url).list_collections()  # as the product connects: clients of one address share their connection
            return
        except (IndexBroken, MilvusException):
            time.sleep(0.2)
