"""ingest."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli import show
from cli.common import CollectionOption, JsonOption, ServerOption, out, print_json, progress_bar
from ingest.build import build_ingester
from rag.build import build_search
from rag.settings import load_settings
from rag.types import InvalidInput


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    collection: CollectionOption = "default",
    prune: Annotated[bool, typer.Option("--prune", help="Remove documents under PATHS whose file is gone.")] = False,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Read files and folders into a collection; what is unchanged is left alone, what is broken is listed."""
    if server:
        from cli import remote  # here, not above: an HTTP client that most calls do not need

        if prune:
            raise InvalidInput("--prune with --server: a server does not know your folders; delete what is gone there")
        if remote.ingest(server, paths, collection, as_json).failed:
            raise typer.Exit(1)
        return
    settings = load_settings()
    ingester = build_ingester(settings, build_search(settings))
    with progress_bar("reading") as step:
        report = ingester.ingest_paths(paths, collection, prune, step)
    if as_json:
        print_json(asdict(report) | {"skipped": len(report.skipped)})
    else:
        show.report(out(), report)
    if report.failed:
        raise typer.Exit(1)
