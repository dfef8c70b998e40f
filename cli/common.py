"""What every command shares: the options, and the two ways to print."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
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
