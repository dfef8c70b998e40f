"""Index families at growing sizes: recall against exact, latency, build time and memory, as a table and a plot.

    OMP_NUM_THREADS=2 python -m benchmarks.index_families 100000 1000000 --json index.json --plot index.png
    OMP_NUM_THREADS=2 python -m benchmarks.index_families 4000000 --family ivf-sq8 ivf-rabitq --mapped

Each size takes the family that "auto" chooses there (with --memory-mb, as the setting), unless families are named.
Vectors are synthetic with the clusters and axes of a text encoder's (rag/index/bench.py), queries other vectors of the
same kind. FAISS uses as many threads as OMP_NUM_THREADS says; searches are single.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from rag.index.bench import Row, bench, synthetic
from rag.index.families import Family, choose

DIMENSION = 384


def main() -> None:
    """Print a line a size and family."""
    arguments = _parser().parse_args()
    queries = synthetic(arguments.queries, DIMENSION, seed=1).astype(np.float32)
    rows: list[Row] = []
    print("family        vectors   recall@10    p50 ms    p95 ms    p99 ms   build s   memory B   disk B a vector")
    for size in arguments.sizes:
        plan = choose("auto", size, DIMENSION, arguments.memory_mb << 20)
        vectors = synthetic(size, DIMENSION)
        mapped = arguments.mapped or plan.mapped
        for row in bench(vectors, queries, arguments.family or [plan.family.value], _quiet, mapped=mapped):
            print(
                f"{row.family:11} {row.vectors:9d} {row.recall:11.4f} {row.p50_ms:9.2f} {row.p95_ms:9.2f} "
                f"{row.p99_ms:9.2f} {row.build_s:9.1f} {row.bytes_a_vector:10.0f} {row.disk_bytes_a_vector:10.0f}",
                flush=True,
            )
            rows.append(row)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", "utf-8")
    if arguments.plot:
        plot(rows, arguments.plot)


def plot(rows: list[Row], path: Path) -> None:
    """Latency and memory by size, a line a family, both axes logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for family in dict.fromkeys(row.family for row in rows):
        own = sorted((row for row in rows if row.family == family), key=lambda row: row.vectors)
        sizes = [row.vectors for row in own]
        left.plot(sizes, [row.p50_ms for row in own], marker="o", label=f"{family}, median")
        left.plot(sizes, [row.p99_ms for row in own], marker=".", linestyle=":", label=f"{family}, p99")
        right.plot(sizes, [row.bytes_a_vector * row.vectors / 1e6 for row in own], marker="o", label=family)
    left.set(xlabel="vectors", ylabel="single search, ms", xscale="log", yscale="log")
    right.set(xlabel="vectors", ylabel="memory, MB", xscale="log", yscale="log")
    left.legend()
    right.legend()
    figure.savefig(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="+", help="vectors")
    parser.add_argument("--family", nargs="+", choices=[each.value for each in Family], help="instead of the rule's")
    parser.add_argument("--memory-mb", type=int, default=0, help="what the rule may take; 0: a quarter of the machine")
    parser.add_argument("--mapped", action="store_true", help="leave the lists on disk")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--plot", type=Path, help="write the plot here")
    return parser


def _quiet(_done: int, _total: int | None) -> None:
    """The table is progress enough."""


if __name__ == "__main__":
    main()
