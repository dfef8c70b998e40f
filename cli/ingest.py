"""ingest."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import show
from cli.common import CollectionOption, JsonOption, ServerOption, err, out, print_json, progress_bar
from ingest.build import build_ingester
from ingest.report import IngestReport
from ingest.watch import watch as follow
from rag.build import build_search
from rag.settings import load_settings
from rag.types import InvalidInput

RayOption = Annotated[
    str | None,
    typer.Option("--ray", metavar="ADDRESS", help="Read and embed on the nodes of a Ray cluster: HOST:PORT or auto."),
]
WatchOption = Annotated[bool, typer.Option("--watch", help="Stay, and follow every change under PATHS until stopped.")]
RetryOption = Annotated[
    bool, typer.Option("--retry-failed", help="Read again what failed before; without PATHS all of the collection.")
]


def ingest(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files and folders.")] = None,
    collection: CollectionOption = "default",
    prune: Annotated[bool, typer.Option("--prune", help="Remove documents under PATHS whose file is gone.")] = False,
    retry_failed: RetryOption = False,
    watch: WatchOption = False,
    ray: RayOption = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Read files and folders into a collection; what is unchanged is left alone, what is broken is listed."""
    wanted = paths or []
    if not wanted and (watch or not retry_failed):
        raise InvalidInput("no PATHS given; name files or folders, or use --retry-failed alone")
    if ray and (server or watch):
        raise InvalidInput("--ray does not go with --server or --watch; leave one out")
    if server:
        from cli import remote  # here, not above: an HTTP client that most calls do not need

        if prune or watch or retry_failed:
            raise InvalidInput(
                "--prune, --watch and --retry-failed are for a folder here; leave them out with --server"
            )
        if remote.ingest(server, wanted, collection, as_json).failed:
            raise typer.Exit(1)
        return
    settings = load_settings()
    ingester = build_ingester(settings, build_search(settings), ray)
    if watch:
        if not as_json:
            err().print(f"following {', '.join(map(str, wanted))}; Ctrl-C stops")
        for report in follow(ingester, wanted, collection):
            _print(report, as_json)
        return
    with progress_bar("reading") as step:
        report = ingester.ingest_paths(wanted, collection, prune, step, retry_failed)
    _print(report, as_json)
    if report.failed:
        raise typer.Exit(1)


def _print(report: IngestReport, as_json: bool) -> None:
    if as_json:
        print_json(_report_json(report))
    else:
        show.report(out(), report)


def _report_json(report: IngestReport) -> dict[str, Any]:
    """The report; files left out are a number, those that failed are named with the reason."""
    return asdict(report) | {"skipped": len(report.skipped)}
