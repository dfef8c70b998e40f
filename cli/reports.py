"""eval report and compare: what runs say, for people, programs and gates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from cli.common import JsonOption, err, out, print_json, progress_bar
from rag.settings import load_settings
from rag.types import InvalidInput

if TYPE_CHECKING:
    from eval.compare import Comparison, Failure

_FLIPS = 20
Runs = Annotated[list[str], typer.Argument(help="Run files, or names of runs, oldest first.")]


def report(
    runs: Runs,
    html: Annotated[Path | None, typer.Option("--html", help="Write one HTML file that loads nothing.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write Markdown.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Lay out a run, or what changed from the first RUN to the last; Markdown on stdout by default."""
    # Evaluation code, slow to import, is loaded by the commands that evaluate alone.
    from eval.kept_runs import find_run, latest_labelled
    from eval.report import build_report
    from eval.report_html import render_html
    from eval.report_text import render_markdown

    settings = load_settings()
    with progress_bar("measuring how sure the figures are") as step:
        read = [find_run(each, settings) for each in runs]
        built = build_report(read, step, latest_labelled(settings, read[-1].models.get("verifier", "")))
    if html is not None:
        _write(html, render_html(built))
    if markdown is not None:
        _write(markdown, render_markdown(built))
    if as_json:
        print_json(built)
    elif html is None and markdown is None:
        typer.echo(render_markdown(built), nl=False)


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="The run before: a file or a name.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The run after.")],
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-under", metavar="METRIC=VALUE", help="Exit 1 where B is worse than VALUE; may be repeated."
        ),
    ] = None,
    fail_worse: Annotated[bool, typer.Option("--fail-worse", help="Exit 1 where B is significantly worse.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what changed from A to B, how sure that is, and the questions that flipped."""
    from dataclasses import asdict

    from eval import compare as comparing
    from eval.kept_runs import find_run

    settings = load_settings()
    limits = [comparing.read_limit(text) for text in fail_under or []]
    run = find_run(second, settings)
    found = comparing.compare(find_run(first, settings), run)
    failures = comparing.check_limits(run, limits)
    if as_json:
        metrics = {change.metric: asdict(change) for change in found.changes}
        flips = [asdict(flip) | {"worse": flip.worse} for flip in found.flips]
        failed = [asdict(failure) for failure in failures]
        counts = {"only_a": found.only_a, "only_b": found.only_b}
        print_json({"a": found.a, "b": found.b, "metrics": metrics, "flips": flips, "failed": failed, **counts})
    else:
        _print(found)
    if _failed(failures, found if fail_worse else None):
        raise typer.Exit(1)


def _failed(failures: list[Failure], found: Comparison | None) -> bool:
    lines = [failure.line for failure in failures]
    if found is not None:
        lines += [f"{c.metric} went from {c.a:.4f} to {c.b:.4f} (p {c.p:.4f})" for c in found.worse]
    for line in lines:
        err().print(f"answerable: failed: {escape(line)}", soft_wrap=True)
    return bool(lines)


def _print(found: Comparison) -> None:
    table = Table(Column("metric", overflow="fold"), "A", "B", "difference", "95 % interval", "p", "", box=None)
    colours = {"better": "green", "worse": "red", "changed": "yellow", "same": "dim"}
    differ = [change for change in found.changes if change.difference]
    for change in differ:
        colour = colours[change.verdict]
        values = (f"{change.a:.4f}", f"{change.b:.4f}", f"{change.difference:+.4f}")
        between = f"{change.low:+.3f} {change.high:+.3f}"
        table.add_row(
            escape(change.metric), *values, between, f"{change.p:.4f}", f"[{colour}]{change.verdict}[/{colour}]"
        )
    if differ:
        out().print(table)
    out().print(f"{len(found.changes) - len(differ)} figures are the same")
    worse = [flip for flip in found.flips if flip.worse]
    out().print(f"{len(found.flips)} questions flipped, {len(worse)} for the worse")
    for flip in worse[:_FLIPS]:
        out().print(
            escape(f"  {flip.id}  {flip.question}\n    {flip.a}: {flip.a_answer}\n    {flip.b}: {flip.b_answer}")
        )
    if found.only_a or found.only_b:
        out().print(f"rows that only one run has: {found.only_a} in A, {found.only_b} in B")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written ({error.strerror or error}); give another place") from error
    err().print(f"{path}  {path.stat().st_size} bytes", soft_wrap=True)
