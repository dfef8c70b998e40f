"""ingest."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli import show
from cli.common import CollectionOption, JsonOption, out, print_json, progress_bar
from ingest.build import build_ingester
from rag.build import build_search
from rag.settings import load_settings


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    collection: CollectionOption = "default",
    prune: Annotated[bool, typer.Option("--prune", help="Remove documents under PATHS whose file is gone.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Read files and folders into a collection; what is unchanged is left alone, what is broken is listed."""
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
