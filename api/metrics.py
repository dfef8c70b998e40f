"""Figures for Prometheus, in a registry of their own a server. No label carries text of a question or a document."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.breaker import CLOSED, HALF_OPEN, OPEN
from rag.remote import RemoteState
from rag.types import Answer

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_BREAKER = {CLOSED: 0, HALF_OPEN: 1, OPEN: 2}
_SHARES = tuple(step / 10 for step in range(1, 11))


class Metrics:
    """What a server counts. `docs/grafana.json` shows it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "answerable_requests_total", "Requests", ("method", "route", "status"), registry=self.registry
        )
        self.request_seconds = Histogram(
            "answerable_request_seconds", "Time of a request", ("route",), buckets=_SECONDS, registry=self.registry
        )
        self.stage_seconds = Histogram(
            "answerable_stage_seconds", "Time of a stage", ("stage",), buckets=_SECONDS, registry=self.registry
        )
        self.answers = Counter("answerable_answers_total", "Answers made", ("outcome",), registry=self.registry)
        self.tokens = Counter("answerable_tokens_total", "Tokens of the generator", ("kind",), registry=self.registry)
        self.support = Histogram(
            "answerable_claim_support", "Support of a claim", buckets=_SHARES, registry=self.registry
        )
        self.first_event = Histogram(
            "answerable_first_word_seconds", "Time to the first word", buckets=_SECONDS, registry=self.registry
        )

    def gauge(self, name: str, description: str, value: Callable[[], float]) -> None:
        """A figure that is read when it is asked for."""
        Gauge(name, description, registry=self.registry).set_function(value)

    def remote(self, state: Callable[[], RemoteState]) -> None:
        """The breaker and the attempts of a generator elsewhere, read when they are asked for."""
        self.registry.register(_Remote(state))

    def observe(self, answer: Answer) -> None:
        """Count an answer."""
        self.answers.labels("refused" if answer.abstained else "answered").inc()
        self.tokens.labels("prompt").inc(answer.usage.prompt_tokens)
        self.tokens.labels("completion").inc(answer.usage.completion_tokens)
        for claim in answer.claims:
            self.support.observe(claim.support)
        times = answer.timings_ms
        stages = {
            "retrieve": times.retrieve,
            "rerank": times.rerank,
            "generate": times.generate,
            "verify": times.verify,
        }
        for stage, ms in (stages | {"total": times.total}).items():
            self.stage_seconds.labels(stage).observe(ms / 1000)

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self.registry)


class _Remote(Collector):
    """answerable_generator_breaker (0 closed, 1 half-open, 2 open) and answerable_generator_attempts_total{outcome}."""

    def __init__(self, state: Callable[[], RemoteState]):
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """What the generator says now."""
        state = self._state()
        breaker = "Breaker of the generator's server: 0 closed, 1 half-open, 2 open"
        yield GaugeMetricFamily("answerable_generator_breaker", breaker, _BREAKER[state.breaker])
        attempts = CounterMetricFamily("answerable_generator_attempts", "Attempts there", labels=["outcome"])
        for outcome, count in sorted(state.attempts.items()):
            attempts.add_metric([outcome], count)
        yield attempts


class Measured:
    """Counts the requests of an ASGI application by route and status."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            route = getattr(scope.get("route"), "path", "other")  # the pattern, never the address: ids are endless
            self._metrics.requests.labels(_method(scope["method"]), route, str(status)).inc()
            self._metrics.request_seconds.labels(route).observe(time.perf_counter() - started)


def _method(name: str) -> str:
    return name if name in ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH") else "other"
