"""serve and mcp."""

from __future__ import annotations

from typing import Annotated

import typer

from rag.settings import load_settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Answer over HTTP: a page at /, the interface at /docs."""
    from api import server  # here, not above: the other commands start faster without a web framework

    server.serve(load_settings(host=host, port=port))


def mcp(
    server_url: Annotated[
        str | None, typer.Option("--server", envvar="ANSWERABLE_SERVER", help="Ask this server instead.")
    ] = None,
) -> None:
    """Offer ask, search and verify to a program that speaks the Model Context Protocol, over stdin and stdout."""
    from cli.mcp_server import run  # here, not above: it loads a library that nothing else needs

    run(load_settings(), server_url)
