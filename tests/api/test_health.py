from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api import schemas
from api.app import create_app
from rag.pipeline import Pipeline
from rag.settings import Settings
from rag.types import ModelMissing, StoreUnavailable
from tests.api.client import HOST, client, settings_for
from tests.fakes import Shelf

CURE = "smollm2-135m is not there; run: answerable models pull"


def test_a_server_with_models_and_database_is_ready(tmp_path: Path) -> None:
    with client(tmp_path) as http:
        alive, ready = http.get("/healthz"), http.get("/readyz")
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert ready.status_code == 200
    assert schemas.Readiness.model_validate(ready.json()).models["generator"] == "echo@ec40ec40ec40"


def test_a_server_without_weights_starts_says_the_cure_and_loads_them_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf, tries = Shelf.open(tmp_path), []
    there = False

    def load(_settings: Settings) -> Pipeline:
        tries.append(1)
        if not there:
            raise ModelMissing(CURE)
        return shelf.pipeline()

    with TestClient(create_app(settings_for(tmp_path), load), HOST, raise_server_exceptions=False) as http:
        missing = [http.get("/readyz"), http.post("/v1/ask", json={"question": "a"})]
        missing += [http.post("/v1/search", json={"query": "a"})]
        alive = http.get("/healthz")
        tries_while_missing = len(tries)
        monkeypatch.setattr("api.deps._RETRY_LOAD_S", 0.0)
        there = True
        ready = http.get("/readyz")
        http.get("/readyz")
    assert alive.status_code == 200
    for response in missing:
        assert response.status_code == 503
        assert response.json()["error"] == {"code": "model_missing", "message": CURE, "detail": None}
    assert tries_while_missing == 1  # a flood of requests is no flood of attempts
    assert ready.status_code == 200
    assert len(tries) == 2


def test_a_database_out_of_reach_is_not_ready_but_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_args: object) -> None:
        raise StoreUnavailable("database is locked; try again")

    with client(tmp_path) as http:
        monkeypatch.setattr("rag.store.chunks.Chunks.seq", locked)
        assert http.get("/healthz").status_code == 200
        response = http.get("/readyz")
    assert (response.status_code, response.json()["error"]["code"]) == (503, "store_unavailable")


def test_an_empty_home_starts_without_weights(tmp_path: Path) -> None:
    """The real parts, no fakes: nothing was pulled, so the first thing missing is named, with what to run."""
    with TestClient(create_app(settings_for(tmp_path / "new")), raise_server_exceptions=False) as http:
        response = http.get("/readyz")
    assert (response.status_code, response.json()["error"]["code"]) == (503, "model_missing")
    assert "answerable models pull" in response.json()["error"]["message"]
