"""A service over fakes for tests of the HTTP side, and the reading of server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from api.app import create_app
from rag.generate import Generator
from rag.pipeline import Limits
from rag.settings import Settings
from tests import backend
from tests.backend import has_rows
from tests.fakes import Shelf

HOST = "http://127.0.0.1:8080"  # without a key a server answers to no other name
LEAVE = {
    "/docs/leave.md": "Every employee has 27 days of annual leave. Unused leave expires on 31 March.",
    "/docs/oil.md": "Crude oil is measured in barrels. A barrel holds 159 litres.",
}


def settings_for(home: Path, **fields: Any) -> Settings:
    values: dict[str, Any] = {**backend.fields(home), **fields}
    return Settings(home=home, **values)


@contextmanager
def client(
    home: Path, generator: Generator | None = None, limits: Limits | None = None, **fields: Any
) -> Iterator[TestClient]:
    """A client of a running application whose documents are LEAVE, unless ``home`` holds some already."""
    home.mkdir(parents=True, exist_ok=True)
    fresh = not has_rows(home)
    shelf = Shelf.open(home)
    if fresh:
        shelf.put(LEAVE)
    app = create_app(settings_for(home, **fields), lambda _settings: shelf.pipeline(generator, limits))
    with TestClient(app, HOST, raise_server_exceptions=False) as running:
        yield running


def read_events(body: str) -> list[tuple[str, dict[str, Any]]]:
    """Name and data of each server-sent event; fails on anything that is not one of ours."""
    events = []
    for block in body.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        assert name.startswith("event: "), block
        assert data.startswith("data: "), block
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events
