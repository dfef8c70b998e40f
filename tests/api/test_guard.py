from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastapi import FastAPI, Request
from structlog.testing import capture_logs

from api.errors import add_handlers
from api.guard import Guard
from tests.api.client import client

JSON = {"content-type": "application/json"}


def test_every_response_carries_the_security_headers_and_an_id_of_its_own(tmp_path: Path) -> None:
    with client(tmp_path) as http:
        responses = [http.get("/healthz"), http.get("/nowhere"), http.post("/v1/ask", json={}), http.get("/docs")]
    for response in responses:
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
        assert "access-control-allow-origin" not in response.headers
    assert len({response.headers["x-request-id"] for response in responses}) == len(responses)


def test_another_site_gets_no_leave_to_ask(tmp_path: Path) -> None:
    """A page in the user's browser could read the documents, if the preflight were answered or text/plain taken."""
    evil = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    with client(tmp_path) as http:
        preflight = http.options("/v1/ask", headers=evil)
        simple = http.post("/v1/ask", content=b'{"question": "a"}', headers={"content-type": "text/plain"})
    assert preflight.status_code == 405
    assert "access-control-allow-origin" not in preflight.headers
    assert simple.status_code == 422


def test_a_body_over_the_limit_is_a_413(tmp_path: Path) -> None:
    question = json.dumps({"question": "x" * 1_000_000}).encode()
    with client(tmp_path) as http:
        announced = http.post("/v1/ask", content=question, headers=JSON)
        chunked = http.post("/v1/ask", content=pieces(question), headers=JSON)
        nowhere = http.post("/nowhere", content=question, headers=JSON)
        within = http.post("/v1/ask", content=b" " * 999_980 + b'{"question": "a"}', headers=JSON)
    for response in (announced, chunked, nowhere):
        assert response.status_code == 413
        assert response.json()["error"]["code"] == "body_too_large"
        assert "1000000 bytes" in response.json()["error"]["message"]
    assert within.status_code == 200


def pieces(body: bytes) -> Iterator[bytes]:
    """Sent without a Content-Length."""
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


def test_an_unexpected_exception_is_logged_under_an_id_and_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        raise RuntimeError("secret: /home/alice")

    with client(tmp_path) as http, capture_logs() as logs:
        monkeypatch.setattr("rag.retrieve.Retriever._first_stage", fail)
        responses = [http.post("/v1/search", json={"query": "a"}), http.post("/v1/ask", json={"question": "a"})]
        monkeypatch.undo()
        after = http.post("/v1/search", json={"query": "a"})
    errors = [entry for entry in logs if entry["log_level"] == "error"]
    for response, entry in zip(responses, errors, strict=True):
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (500, "internal")
        assert error["detail"]["request_id"] == response.headers["x-request-id"] == entry["request_id"]
        assert entry["exc_info"]
        assert "secret" not in response.text
        assert "Traceback" not in response.text
    assert after.status_code == 200


def test_one_line_a_request_without_what_was_asked(tmp_path: Path) -> None:
    with client(tmp_path) as http, capture_logs() as logs:
        response = http.get("/v1/documents?collection=default")
    (line,) = [entry for entry in logs if entry["event"] == "request"]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/v1/documents", 200)
    assert line["request_id"] == response.headers["x-request-id"]


def test_a_body_that_stops_coming_is_a_408(tmp_path: Path) -> None:
    sent: list[dict[str, object]] = []

    async def scenario() -> None:
        inner = FastAPI()
        add_handlers(inner)

        @inner.post("/v1/ask")
        async def read(request: Request) -> str:
            return str(len(await request.body()))

        messages = [{"type": "http.request", "body": b"{", "more_body": True}]

        async def receive() -> dict[str, object]:
            if messages:
                return messages.pop()
            await anyio.sleep_forever()
            raise AssertionError("never ends")

        async def send(message: Any) -> None:
            sent.append(dict(message))

        scope = {"type": "http", "method": "POST", "path": "/v1/ask", "query_string": b"", "headers": []}
        with anyio.fail_after(10):
            await Guard(inner, pause_s=0.05)(scope, receive, send)

    anyio.run(scenario)
    assert sent[0]["status"] == 408
