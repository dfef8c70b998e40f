"""Traces reach the collector that the operator named, all of an answer in one trace, and carry no text."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.api.live import ROOT

proto = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

ASK = """
import sys
from pathlib import Path
from tests.api.client import client

with client(Path(sys.argv[1])) as http:
    assert http.post("/v1/ask", json={"question": "How many days of annual leave has every employee?"}).is_success
"""
STAGES = {"retrieve", "rerank", "generate", "verify"}


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """A collector of OpenTelemetry's over HTTP: its address, and what it was sent."""
    sent: list[bytes] = []

    class Collect(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collect)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", sent
    server.shutdown()
    server.server_close()
    thread.join(10)


def ask_once(home: Path, **environment: str) -> None:
    command = [sys.executable, "-c", ASK, str(home)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    subprocess.run(command, env={**kept, "PYTHONPATH": str(ROOT), **environment}, cwd=ROOT, check=True, timeout=200)


def test_an_answer_is_one_trace_without_a_word_of_it(tmp_path: Path) -> None:
    with collector() as (url, sent):
        ask_once(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=url)
    spans = [
        span
        for body in sent
        for resource in proto.ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    (answer,) = [span for span in spans if span.name == "answer"]
    trace = [span for span in spans if span.trace_id == answer.trace_id]
    assert {span.name for span in trace} > STAGES
    (request,) = [span for span in trace if span.span_id == answer.parent_span_id]
    assert "/v1/ask" in request.name
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in trace)
    assert b"annual leave" not in b"".join(sent)
