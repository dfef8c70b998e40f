"""What every command shares: the options, and the two ways to print."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
ServerOption = Annotated[
    str | None,
    typer.Option("--server", envvar="ANSWERABLE_SERVER", help="Ask this server; its key is in ANSWERABLE_API_KEY."),
]
CollectionOption = Annotated[str, typer.Option("--collection", "-c", help="Name of the collection.")]


def print_json(value: dict[str, Any]) -> None:
    """Write ``value`` on stdout as one JSON object."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def out() -> Console:
    """Where people read results."""
    return Console(highlight=False)


def err() -> Console:
    """Where progress goes, so that stdout stays clean for --json and pipes."""
    return Console(stderr=True, highlight=False)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on stderr while something long runs; call what it gives with (done, total or None)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = err()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
