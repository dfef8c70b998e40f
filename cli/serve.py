"""serve."""

from __future__ import annotations

from typing import Annotated

import typer

from rag.settings import load_settings

GRACE_SECONDS = 10  # that answers being written get after SIGTERM


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Answer over HTTP; /docs describes the interface."""
    import uvicorn  # here, not above: the other commands start faster without a web framework

    from api.app import create_app

    settings = load_settings(host=host, port=port)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
