"""index bench."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from cli.common import JsonOption, out, print_json, progress_bar
from rag.build import build_search
from rag.index import Family
from rag.settings import load_settings
from rag.types import AnswerableError, InvalidInput

if TYPE_CHECKING:
    from rag.index.bench import Row

_LEAST = 200  # vectors; with fewer there is nothing to compare


def bench(
    family: Annotated[
        list[Family] | None, typer.Option("--family", "-f", help="Families to try; all by default.")
    ] = None,
    collection: Annotated[str, typer.Option("--collection", "-c", help="Use the vectors of this collection.")] = "",
    vectors: Annotated[int, typer.Option("--vectors", "-n", min=_LEAST, help="Synthetic vectors without -c.")] = 20_000,
    queries: Annotated[int, typer.Option("--queries", "-q", min=1, max=100_000, help="Searches to time.")] = 300,
    mapped: Annotated[bool, typer.Option("--mapped", help="Leave the lists on disk, memory-mapped.")] = False,
    plot: Annotated[Path | None, typer.Option("--plot", help="Write a picture of the table, PNG or SVG.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure recall, latency, build time and memory of index families on your vectors or on synthetic ones."""
    from rag.index.bench import bench as measure

    data, asked = _data(collection, vectors, queries)
    with progress_bar("building and searching") as step:
        try:
            rows = measure(data, asked, [each.value for each in family or list(Family)], step, mapped=mapped)
        except OSError as error:
            raise AnswerableError(f"index bench: {error}; it needs room in the temporary folder (TMPDIR)") from error
    if plot:
        _plot(rows, plot)
    if as_json:
        print_json({"collection": collection, "rows": [asdict(row) for row in rows]})
    else:
        _print(rows)


def _data(collection: str, vectors: int, queries: int) -> tuple[Any, Any]:
    """Vectors (N, D) and queries (Q, D): synthetic, or of a collection, a part of which then are the queries."""
    import numpy as np

    from rag.index.bench import synthetic

    if not collection:
        return synthetic(vectors), synthetic(queries, seed=1).astype(np.float32)
    parts = build_search(load_settings())
    with parts.store.chunks.snapshot(parts.store.collections.get(collection)) as rows:
        held = np.concatenate([np.zeros((0, parts.encoder.dimension), "<f2"), *(block for _, block in rows.blocks)])
    if len(held) < _LEAST:
        raise InvalidInput(
            f"collection {collection!r} has {len(held)} passages, at least {_LEAST} are needed; leave -c out"
        )
    order = np.random.default_rng(0).permutation(len(held))
    few = min(queries, len(held) // 10)
    return held[np.sort(order[few:])], held[order[:few]].astype(np.float32)


def _print(rows: list[Row]) -> None:
    columns = ("family", "vectors", "recall@10", "p50 ms", "p95 ms", "p99 ms", "build s", "memory B", "disk B a vector")
    table = Table(*columns, box=None)
    for row in rows:
        times = (f"{value:.2f}" for value in (row.p50_ms, row.p95_ms, row.p99_ms))
        sizes = (f"{row.build_s:.1f}", f"{row.bytes_a_vector:.0f}", f"{row.disk_bytes_a_vector:.0f}")
        table.add_row(row.family, str(row.vectors), f"{row.recall:.4f}", *times, *sizes)
    out().print(table)


def _plot(rows: list[Row], path: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InvalidInput("--plot needs matplotlib; install it with: pip install matplotlib") from None
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for row in rows:
        left.scatter(row.p50_ms, row.recall)
        left.annotate(row.family, (row.p50_ms, row.recall))
        right.scatter(row.bytes_a_vector, row.recall)
        right.annotate(row.family, (row.bytes_a_vector, row.recall))
    left.set(xlabel="median search, ms", ylabel="recall@10", xscale="log")
    right.set(xlabel="memory, bytes a vector", ylabel="recall@10")
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"--plot {path}: {error}; name a .png or .svg file in a folder that exists") from error
