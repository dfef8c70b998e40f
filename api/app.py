"""The HTTP application: `create_app(settings)` puts the resources together; nothing is global and nothing loads here.

Models load once, when the server starts. Where they are missing it starts all the same: /readyz says what to do, and
loads them once that is done.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import PackageNotFoundError, version

import anyio
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from api import ask, health, search, verify
from api.deps import Load, Service, load_pipeline
from api.errors import NotReady, add_handlers
from api.guard import MAX_BODY_BYTES, Guard
from rag.settings import Settings

DESCRIPTION = (
    "Answers from your own documents: every sentence checked against the passages it came from, with a support score "
    'and citations. Errors are `{"error": {"code", "message", "detail"}}` with the right status.'
)
_NO_TELEMETRY = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False}


def create_app(settings: Settings, load: Load = load_pipeline, max_body_bytes: int = MAX_BODY_BYTES) -> FastAPI:
    """The application for ``settings``; ``load`` makes its models when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            service = app.state.service = Service(settings, load, tasks)
            with suppress(NotReady):  # logged; the server starts, so that /readyz can say what is missing
                await service.pipeline()
            yield
            tasks.cancel_scope.cancel()
        service.close()

    app: FastAPI = FastAPIOffline(  # the documentation page from local files: the browser calls out to nobody
        redoc_url=None,
        title="Answerable",
        description=DESCRIPTION,
        version=_version(),
        lifespan=lifespan,
        telemetry=_NO_TELEMETRY,
        redirect_slashes=False,
    )
    for router in (ask.router, search.router, verify.router, health.router):
        app.include_router(router)
    add_handlers(app)
    app.add_middleware(Guard, max_body_bytes=max_body_bytes)
    return app


def _version() -> str:
    try:
        return version("answerable")
    except PackageNotFoundError:  # run from a source tree that was not installed
        return "0"
