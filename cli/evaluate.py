"""eval qa, claims, retrieval, bias, run; generate and review are in cli/generate.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cli import generate as making
from cli.common import JsonOption, err, out, print_json, progress_bar
from rag.settings import Settings, load_settings
from rag.types import StoreUnavailable

app = typer.Typer(no_args_is_help=True)
app.command("generate")(making.generate)
app.command("review")(making.review)
DataFile = Annotated[Path, typer.Argument(help="A data file: JSON lines, plain or gzip.")]
DataFolder = Annotated[Path, typer.Argument(help="A folder with corpus.jsonl, queries.jsonl and qrels.tsv.")]
Limit = Annotated[int, typer.Option("--limit", min=0, help="First N rows; 0: all.")]
SpreadLimit = Annotated[int, typer.Option("--limit", min=0, help="N rows spread evenly over the file; 0: all.")]
OutFolder = Annotated[Path | None, typer.Option("--out", help="Folder for the run file; HOME/runs by default.")]


@app.command()
def qa(
    file: DataFile,
    from_collection: Annotated[bool, typer.Option("--open", help="Search all passages of the file.")] = False,
    limit: Limit = 0,
    out_folder: OutFolder = None,
    as_json: JsonOption = False,
) -> None:
    """Answer the questions of FILE and score answers, refusals, support and citations."""
    from eval.qa import run_qa  # evaluation code, slow to import, is loaded by the commands that evaluate alone

    settings = load_settings()
    with progress_bar("asking") as step:
        run = run_qa(settings, file, limit, from_collection, step)
    _finish(run, settings, out_folder, as_json)


@app.command()
def claims(file: DataFile, limit: Limit = 0, out_folder: OutFolder = None, as_json: JsonOption = False) -> None:
    """Judge the claims of FILE against their passages and score the verdicts."""
    from eval.claims import run_claims

    settings = load_settings()
    with progress_bar("judging") as step:
        run = run_claims(settings, file, limit, step)
    _finish(run, settings, out_folder, as_json)


@app.command()
def retrieval(folder: DataFolder, limit: Limit = 0, out_folder: OutFolder = None, as_json: JsonOption = False) -> None:
    """Rank the documents of FOLDER for its queries and score each way of searching."""
    from eval.retrieval import run_retrieval

    settings = load_settings()
    with progress_bar("ranking") as step:
        run = run_retrieval(settings, folder, limit, step)
    _finish(run, settings, out_folder, as_json)


@app.command()
def bias(file: DataFile, limit: SpreadLimit = 0, out_folder: OutFolder = None, as_json: JsonOption = False) -> None:
    """Ask the questions of FILE, in the form of BBQ, and score how far the answers follow stereotypes."""
    from eval.bias import run_bias

    settings = load_settings()
    with progress_bar("asking") as step:
        run = run_bias(settings, file, limit, step)
    _finish(run, settings, out_folder, as_json)


@app.command()
def run(
    suite: Annotated[Path | None, typer.Argument(help="A suite file; ours by default.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of public sets that the suite names.")] = None,
    out_folder: OutFolder = None,
    as_json: JsonOption = False,
) -> None:
    """Measure every set of SUITE; a run that was stopped goes on where it was."""
    from eval.suite import DEFAULT_SUITE, read_suite
    from eval.suite_run import run_suite

    settings = load_settings()
    read = read_suite(suite or DEFAULT_SUITE, data)
    with progress_bar("measuring") as step:
        measured = run_suite(settings, read, out_folder or settings.runs_folder, step)
    _finish(measured, settings, out_folder, as_json)


def _finish(run: Any, settings: Settings, folder: Path | None, as_json: bool) -> None:
    from eval.kept_runs import keep_run
    from eval.runs import write_run

    path = write_run(run, folder or settings.runs_folder)
    try:
        keep_run(run, settings)
    except StoreUnavailable as error:  # the file holds all of it, and its name is told below
        err().print(f"answerable: the run is not in the database: {error}", soft_wrap=True)
    metrics = merged(run.metrics, run.timings.get("metrics", {}))
    if as_json:
        print_json({"run": str(path), "metrics": metrics})
        return
    table = Table("metric", "value", box=None)
    for name, value in _flat(metrics):
        table.add_row(name, "not defined" if value is None else f"{value:g}")
    out().print(table)
    out().print(f"run: {path}", soft_wrap=True)


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Both tables in one, tables inside them alike."""
    both = dict(first)
    for name, value in second.items():
        known = both.get(name)
        both[name] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return both


def _flat(metrics: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float | None]]:
    rows: list[tuple[str, float | None]] = []
    for name, value in metrics.items():
        if isinstance(value, dict):
            rows += [] if name == "intervals" else _flat(value, f"{prefix}{name}.")
        elif not isinstance(value, list):
            rows.append((prefix + name, value))
    return rows
