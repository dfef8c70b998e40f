"""A server of ours whose generator is elsewhere and fails: clear errors in time, the breaker in the figures."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from rag.remote import RemoteGenerator, RemoteLimits
from rag.remote_wire import Address
from tests.api.client import client, read_events
from tests.chat_server import chat_server, drops, says, silent, status

ASK = {"question": "How many days of annual leave does every employee have?"}


def generator_at(url: str, **limits: Any) -> RemoteGenerator:
    return RemoteGenerator(Address.parse(f"openai+{url}#m"), lambda texts: [9] * len(texts), RemoteLimits(**limits))


def figure(http: TestClient, name: str) -> float:
    (line,) = re.findall(rf"^{re.escape(name)} (\S+)$", http.get("/metrics").text, re.MULTILINE)
    return float(line)


def test_a_failing_generator_is_503_and_the_breaker_is_seen_in_the_figures(tmp_path: Path) -> None:
    answer = says("Every employee has 27 days of annual leave.")
    with chat_server(*[status(500)] * 2, answer) as server:
        generator = generator_at(server.url, attempts=1, failures=2, open_s=3)
        with client(tmp_path, generator) as http:
            assert http.get("/readyz").status_code == 200  # asks nothing of the generator
            assert figure(http, "answerable_generator_breaker") == 0
            for _ in range(2):
                response = http.post("/v1/ask", json=ASK)
                assert response.status_code == 503
                assert response.json()["error"]["code"] == "generator_unavailable"
            assert "left alone" in http.post("/v1/ask", json=ASK).json()["error"]["message"]
            assert figure(http, "answerable_generator_breaker") == 2
            assert http.post("/v1/search", json={"query": "annual leave"}).json()["hits"]
            time.sleep(3.05)
            assert figure(http, "answerable_generator_breaker") == 1
            assert http.post("/v1/ask", json=ASK).json()["answer"] == "Every employee has 27 days of annual leave."
            assert figure(http, "answerable_generator_breaker") == 0
            assert figure(http, 'answerable_generator_attempts_total{outcome="refused"}') == 2
            assert figure(http, 'answerable_generator_attempts_total{outcome="breaker"}') == 1
            assert figure(http, 'answerable_generator_attempts_total{outcome="answered"}') == 1


def test_a_stream_that_breaks_off_ends_in_an_error_event(tmp_path: Path) -> None:
    with chat_server(drops("Every employee", " has")) as server, client(tmp_path, generator_at(server.url)) as http:
        events = read_events(http.post("/v1/ask", json=ASK | {"stream": True}).text)
    assert [name for name, _ in events] == ["passages", "token", "token", "error"]
    assert "broke off" in events[-1][1]["error"]["message"]


def test_a_silent_generator_does_not_hold_a_request_beyond_its_limit(tmp_path: Path) -> None:
    with chat_server(silent) as server, client(tmp_path, generator_at(server.url), timeout_s=0.6) as http:
        started = time.monotonic()
        response = http.post("/v1/ask", json=ASK)
        assert response.status_code == 504, response.text
        assert 0.6 <= time.monotonic() - started < 20  # the generator would be silent for a minute
        assert figure(http, "answerable_questions") == 0  # its place is free again
