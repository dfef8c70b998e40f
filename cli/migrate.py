"""migrate: all rows into another database."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer

from cli.common import JsonOption, out, print_json, progress_bar
from rag.build import build_store
from rag.settings import load_settings

Target = Annotated[str, typer.Option("--to", help="URL of an empty database: postgresql://user:password@host/database")]


def migrate(to: Target, as_json: JsonOption = False) -> None:
    """Copy all rows from the database in use into another, and compare them; run again, it goes on where it was."""
    started = time.perf_counter()
    store = build_store(load_settings())
    try:
        with progress_bar("copying") as step:
            copied = store.copy_to(to, step)
        behind = store.chunks.seq() - copied.seq
    finally:
        store.close()
    seconds = time.perf_counter() - started
    if as_json:
        print_json(asdict(copied) | {"behind": behind, "seconds": round(seconds, 2)})
        return
    total = sum(copied.rows.values())
    out().print(f"{total} rows equal, {copied.written} of them written now, in {seconds:.1f} s")
    if behind:
        out().print(f"{behind} changes came meanwhile: stop what writes here and run it again")
    else:
        out().print("set ANSWERABLE_DATABASE_URL to the new one wherever the program runs")
