"""Where rows and vectors of a test lie: SQLite and FAISS; with ANSWERABLE_TEST_BACKEND=servers PostgreSQL and Milvus.

Tests ask here for the database and the index of their HOME, so that the same files run on both; conftest.py starts the
servers and leaves their addresses in the environment, where processes that tests start find them, too.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import psycopg
import pytest

SERVERS = os.environ.get("ANSWERABLE_TEST_BACKEND") == "servers"
POSTGRES, MILVUS = "ANSWERABLE_TEST_POSTGRES", "ANSWERABLE_TEST_MILVUS"

local_only = pytest.mark.skipif(SERVERS, reason="about the files of SQLite or FAISS")


def database_url(home: Path, name: str = "answerable.db") -> str:
    """The database of ``home``: the same one at each call."""
    if not SERVERS:
        return f"sqlite:///{home / name}"
    database = "t" + hashlib.sha256(f"{home}/{name}".encode()).hexdigest()[:20]
    server = os.environ[POSTGRES]
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
            connection.execute(f'CREATE DATABASE "{database}"')
    return f"{server}/{database}"


def index_url(home: Path) -> str:
    """INDEX_URL of ``home``."""
    return os.environ[MILVUS] if SERVERS else str(home / "index")


def fields(home: Path) -> dict[str, str]:
    """The settings that name both."""
    return {"database_url": database_url(home), "index_url": index_url(home)}


def variables(home: Path) -> dict[str, str]:
    """The same as environment variables."""
    return {f"ANSWERABLE_{name.upper()}": value for name, value in fields(home).items()}


def has_rows(home: Path) -> bool:
    """Whether a database was ever opened there."""
    if not SERVERS:
        return (home / "answerable.db").exists()
    with psycopg.connect(database_url(home)) as connection:
        return connection.execute("SELECT to_regclass('alembic_version')").fetchone() != (None,)
