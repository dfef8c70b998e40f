"""OpenTelemetry spans of an answer and its stages. Without a tracer provider (see api/app.py) they cost nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace

from rag.types import Answer

_NS = 1_000_000  # nanoseconds in a millisecond


@contextmanager
def span(name: str) -> Iterator[None]:
    """A span around a piece of work; a generator's steps may run in other contexts, so it is not made current."""
    made = trace.get_tracer("answerable").start_span(name)
    try:
        yield
    finally:
        made.end()


def stages(answer: Answer) -> None:
    """Spans of an answer's stages, which have just ended, from its own times."""
    tracer = trace.get_tracer("answerable")
    times = answer.timings_ms
    parts = (
        ("retrieve", times.retrieve),
        ("rerank", times.rerank),
        ("generate", times.generate),
        ("verify", times.verify),
    )
    start = time.time_ns() - int(sum(ms for _, ms in parts) * _NS)
    for name, ms in parts:
        made = tracer.start_span(name, start_time=start, attributes={"answerable.abstained": answer.abstained})
        start += int(ms * _NS)
        made.end(end_time=start)
