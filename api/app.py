"""The HTTP application: `create_app(settings)` puts the resources together; nothing is global and nothing loads here.

Models load once, when the server starts. Where they are missing it starts all the same: /readyz says what to do, and
loads them once that is done.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import PackageNotFoundError, version

import anyio
import anyio.to_thread
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from fastapi_offline import FastAPIOffline

from api import answers, ask, chat, collections, documents, health, jobs, search, verify, web
from api.access import Access
from api.deps import Load, Rows, Service, load_pipeline
from api.errors import NotReady, add_handlers
from api.guard import MAX_BODY_BYTES, Guard
from api.metrics import Measured, Metrics
from rag.settings import Settings

DESCRIPTION = (
    "Answers from your own documents: every sentence checked against the passages it came from, with a support score "
    'and citations. Errors are `{"error": {"code", "message", "detail"}}` with the right status.'
)
_ROUTERS = (ask, search, verify, documents, jobs, collections, answers, chat, health, web)


def create_app(settings: Settings, load: Load = load_pipeline, max_body_bytes: int = MAX_BODY_BYTES) -> FastAPI:
    """The application for ``settings``; ``load`` makes its models when it starts."""

    rows, metrics = Rows(settings), Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            service = app.state.service = Service(settings, load, tasks, rows, metrics)
            with suppress(NotReady):  # logged; the server starts, so that /readyz can say what is missing
                await service.pipeline()
            tasks.start_soon(service.workers.watch)
            yield
            tasks.cancel_scope.cancel()
        await anyio.to_thread.run_sync(service.close)

    app: FastAPI = FastAPIOffline(  # the documentation page from local files: the browser calls out to nobody
        redoc_url=None,
        title="Answerable",
        description=DESCRIPTION,
        version=_version(),
        lifespan=lifespan,
        telemetry=_telemetry(),
        redirect_slashes=False,
    )
    for part in _ROUTERS:
        app.include_router(part.router)
    # One by one: the application itself lists only that it includes them. For the Allow header (api/errors.py).
    app.state.routes = [route for part in _ROUTERS for route in part.router.routes]
    add_handlers(app)
    app.add_middleware(Measured, metrics=metrics)  # the last one added is the outermost
    app.add_middleware(Access, settings=settings, store=rows)
    longest = int(settings.max_file_mb * 1e6) + MAX_BODY_BYTES
    app.add_middleware(Guard, max_body_bytes=max_body_bytes, longer={"/v1/documents": longest})
    return app


def _telemetry() -> TelemetryConfig:
    """Traces, and only where the operator named a collector in OpenTelemetry's own variables."""
    named = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    traced = any(os.environ.get(name) for name in named)
    return {
        "tracing": traced,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": traced,
    }


def _version() -> str:
    try:
        return version("answerable")
    except PackageNotFoundError:  # run from a source tree that was not installed
        return "0"
