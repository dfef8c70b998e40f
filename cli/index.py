"""index stats, index rebuild, doctor; index bench is in cli/bench.py."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from cli.bench import bench
from cli.common import JsonOption, out, print_json, progress_bar
from rag.build import Search, build_search
from rag.index import IndexStats
from rag.reembed import reembed
from rag.settings import load_settings
from rag.store import Collection

app = typer.Typer(no_args_is_help=True)
app.command()(bench)
WhichCollection = Annotated[str, typer.Option("--collection", "-c", help="Name of the collection; empty: all.")]


@app.command()
def stats(collection: WhichCollection = "", as_json: JsonOption = False) -> None:
    """Show how many vectors the index of each collection holds, and how it fits the rows."""
    search = build_search(load_settings())
    _print([search.index.stats(each) for each in _chosen(search, collection)], as_json)


@app.command()
def rebuild(
    collection: WhichCollection = "",
    embed: Annotated[bool, typer.Option("--embed", help="Embed the text again, with the encoder in use.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Build the index again from the rows; nothing is embedded again unless you say --embed."""
    search = build_search(load_settings())
    for each in _chosen(search, collection):
        if embed:
            with progress_bar("embedding") as step:
                reembed(search, each, step)
        search.index.rebuild(search.store.collections.get(each.name))
    _print([search.index.stats(each) for each in _chosen(search, collection)], as_json)


def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what is wrong.")] = False, as_json: JsonOption = False
) -> None:
    """Compare each index with its rows; exit code 1 when something is wrong and was not mended."""
    search = build_search(load_settings())
    found = [search.index.check(each) for each in search.store.collections.all()]
    wrong = [check for check in found if check.problem]
    if repair:
        for check in wrong:
            search.index.rebuild(search.store.collections.get(check.collection))
    if as_json:
        print_json({"collections": [asdict(check) for check in found], "problems": len(wrong), "repaired": repair})
    else:
        for check in found:
            out().print(f"{check.collection}: {check.problem or 'sound'}, {check.vectors} vectors, {check.rows} rows")
        if wrong:
            out().print("repaired" if repair else "mend it with: answerable doctor --repair")
    if wrong and not repair:
        raise typer.Exit(1)


def _chosen(search: Search, name: str) -> tuple[Collection, ...]:
    return (search.store.collections.get(name),) if name else search.store.collections.all()


def _print(rows: list[IndexStats], as_json: bool) -> None:
    if as_json:
        print_json({"indexes": [asdict(row) for row in rows]})
        return
    table = Table("collection", "kind", "vectors", "rows", "MB on disk", "problem", box=None)
    for row in rows:
        size = f"{row.bytes_on_disk / 1e6:.1f}"
        table.add_row(row.collection, row.kind, str(row.vectors), str(row.rows), size, row.problem or "none")
    out().print(table)
