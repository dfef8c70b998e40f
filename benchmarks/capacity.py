"""Capacity: measure what things cost here, plan fleets from it, and check the queue model against a real server.

    python -m benchmarks.capacity measure FOLDER --out capacity.json     HTML files, as postgresql-doc's; 60 of them
    python -m benchmarks.capacity plan capacity.json                     machines and money, 3 sizes by 3 loads
    python -m benchmarks.capacity check capacity.json --load 0.7         a real server beside the simulation

`check` runs real answers, `at_once` of them side by side, on a clock that is the processor time of its own process:
idle time is skipped, and what else runs on the machine does not count. By that clock the process is a machine of one
core. Questions come at random at ``--load`` of what one core can answer; the simulation draws from those measured.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.capacity_measure import (
    ROOT,
    Asked,
    Measured,
    ingested,
    measure_in_scratch,
    scratch,
    scratch_settings,
)
from benchmarks.capacity_model import Load, Machine, Plan, Prices, plan
from benchmarks.capacity_queue import Server, arrivals, simulate
from benchmarks.load import golden_questions
from rag.build import build_pipeline
from rag.pipeline import Pipeline
from rag.settings import load_settings
from rag.types import Question

SIZES, RATES = (10e6, 1e9, 10e9), (10.0, 1_000.0, 100_000.0)
ROUNDS = 200  # simulated runs of as many questions as the real one


def main() -> None:
    """One of the three commands."""
    arguments = _parser().parse_args()
    {"measure": _measure, "plan": _plan, "check": _check}[arguments.command](arguments)


def _measure(arguments: argparse.Namespace) -> None:
    found = measure_in_scratch(load_settings(), arguments.folder, arguments.documents, arguments.questions)
    arguments.out.write_text(json.dumps(asdict(found), indent=1) + "\n", "utf-8")
    print_costs(found)


def read(path: Path) -> Measured:
    """What `measure` wrote."""
    fields: dict[str, Any] = json.loads(path.read_text("utf-8"))
    fields["asked"] = tuple(Asked(**one) for one in fields["asked"])
    for name in ("bm25", "dense"):
        fields[name] = tuple((int(size), float(seconds)) for size, seconds in fields[name])
    return Measured(**fields)


def print_costs(found: Measured) -> None:
    """Means, one a line."""
    print(f"a chunk in: {found.ingest_s_a_chunk * 1000:.2f} core-ms, {found.row_bytes_a_chunk:.0f} B of rows")
    for stage in ("find", "write", "check"):
        times = [getattr(one, stage) for one in found.asked]
        print(f"{stage}: {np.mean(times):.3f} core-s a question, p95 {np.percentile(times, 95):.3f}")
    tokens = np.mean([one.prompt_tokens + one.completion_tokens for one in found.asked])
    write = np.mean([one.write for one in found.asked])
    print(f"a token read or written: {write / tokens * 1000:.2f} core-ms; {tokens:.0f} a question")
    for name, points in (("words", found.bm25), ("meaning", found.dense)):
        print(f"search by {name}: " + ", ".join(f"{n} chunks {s * 1000:.2f} core-ms" for n, s in points))


def _plan(arguments: argparse.Namespace) -> None:
    found, machine, prices = read(arguments.file), Machine(), Prices()
    print("| chunks | questions/s | find+check | write | embed | rows, words | vectors | memory GB | a month | first |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for chunks in SIZES:
        for rate in RATES:
            load = Load(chunks, rate, collections=arguments.collections, gpu_tokens_s=arguments.gpu_tokens)
            print(row(chunks, rate, plan(found, load, machine, prices)))


def row(chunks: float, rate: float, made: Plan) -> str:
    """A line of the table: machines of each part (GPUs for writing where there are), memory, money."""
    counts = [f"{part.gpus} GPUs" if part.gpus else f"{part.machines:,}" for part in made.parts]
    memory = sum(part.memory for part in made.parts) / 1e9
    cells = [f"{chunks:,.0f}", f"{rate:,.0f}", *counts, f"{memory:,.0f}", f"{made.month:,.0f}", made.first]
    return f"| {' | '.join(cells)} |"


def _check(arguments: argparse.Namespace) -> None:
    found = read(arguments.file)
    demands = [one.find + one.write + one.check for one in found.asked]
    rate = arguments.load / float(np.mean(demands))
    times = arrivals(rate, arguments.questions, seed=3)
    draw = np.random.default_rng(4)
    server = Server(1.0, arguments.at_once, most_waiting=10_000)
    simulated = [
        simulate(server, arrivals(rate, len(times), seed), draw.choice(demands, len(times)).tolist()).times
        for seed in range(ROUNDS)
    ]
    real = serve_for_real(times, arguments.at_once)
    print(f"{len(times)} questions at {arguments.load:g} of one core, {arguments.at_once} at once")
    figures: dict[str, Callable[[Sequence[float]], float]] = {
        "mean": lambda times: float(np.mean(times)),
        "p50": lambda times: float(np.percentile(times, 50)),
        "p95": lambda times: float(np.percentile(times, 95)),
    }
    for name, figure in figures.items():
        low, middle, high = np.percentile([figure(one) for one in simulated], [5, 50, 95])
        print(f"{name}: measured {figure(real):.2f} s, simulated {middle:.2f} ({low:.2f} to {high:.2f})")


def serve_for_real(times: list[float], at_once: int) -> list[float]:
    """Core-seconds from coming to leaving of real answers to questions that come at ``times``."""
    settings = load_settings()
    with tempfile.TemporaryDirectory(prefix="answerable-capacity-") as folder:
        own = scratch_settings(settings, Path(folder))
        with scratch(own) as search:
            ingested(own, search, [ROOT / "examples"], "default")
            pipeline = build_pipeline(own, search, at_once)
            pipeline.answer(Question(golden_questions()[0]))
            return _on_own_clock(pipeline, times, at_once)


def _on_own_clock(pipeline: Pipeline, times: list[float], at_once: int) -> list[float]:
    lock, took, skipped = threading.Lock(), list[float](), -time.process_time()

    def now() -> float:
        return time.process_time() + skipped

    def work(came: float, text: str) -> None:
        pipeline.answer(Question(text))
        with lock:
            took.append(now() - came)

    texts = golden_questions()
    with ThreadPoolExecutor(at_once) as pool:
        for number, came in enumerate(times):
            while now() < came:
                if len(took) == number:  # nobody is served: the time until the next one comes is skipped
                    skipped += came - now()
                time.sleep(0.005)
            pool.submit(work, came, texts[number % len(texts)])
    return took


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("measure")
    one.add_argument("folder", type=Path)
    one.add_argument("--documents", type=int, default=60)
    one.add_argument("--questions", type=int, default=60)
    one.add_argument("--out", type=Path, required=True)
    two = commands.add_parser("plan")
    two.add_argument("file", type=Path)
    two.add_argument("--collections", type=int, default=1)
    two.add_argument("--gpu-tokens", type=float, default=0.0, help="tokens a second of a GPU that writes elsewhere")
    three = commands.add_parser("check")
    three.add_argument("file", type=Path)
    three.add_argument("--load", type=float, default=0.7)
    three.add_argument("--at-once", type=int, default=8)
    three.add_argument("--questions", type=int, default=60)
    return parser


if __name__ == "__main__":
    main()
