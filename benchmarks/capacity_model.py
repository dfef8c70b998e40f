"""From measured costs to machines, memory and money: what N chunks and Q questions a second take, and what gives first.

Parts: find (encode, search both ways, rerank) and check on API servers; write on API servers or on GPUs elsewhere;
rows and words (BM25) on database servers, each with a copy; vectors on index servers. Work is spread until no machine
is used above ``use``. Sharding by chunks divides memory and rows, and of a search by words the time but not the work;
sharding by collection divides the work too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmarks.capacity_measure import Measured
from rag.index.families import probes

DIMENSION = 384
VECTOR_BYTES = {"ivf-sq8": 400, "ivf-rabitq": 72}  # docs/architecture.md
MONTH_H = 730
FILLED = 0.7  # of a machine's memory or disk


@dataclass(frozen=True, slots=True)
class Prices:
    """What a month or an hour costs, in one currency; assumptions, to be replaced by one's own."""

    core_hour: float = 0.04
    gb_memory_month: float = 3.0
    gb_disk_month: float = 0.1
    gpu_hour: float = 1.0


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of the fleet: cores, memory and disk in bytes; ``use``: share of its cores that may be busy."""

    cores: int = 32
    memory: float = 128e9
    disk: float = 4e12
    use: float = 0.6


@dataclass(frozen=True, slots=True)
class Load:
    """Chunks kept, questions a second, days to embed all anew, collections that searches are divided by.

    ``gpu_tokens_s``: tokens a second, read and written, of a GPU that writes elsewhere; 0: written on API servers.
    """

    chunks: float
    questions: float
    days: float = 7.0
    collections: int = 1
    gpu_tokens_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Part:
    """What a part of the service takes: busy cores, memory and disk in bytes, machines, GPUs."""

    name: str
    cores: float
    memory: float = 0.0
    disk: float = 0.0
    machines: int = 0
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """All parts, what they cost a month, and the part that takes most machines."""

    parts: tuple[Part, ...]
    month: float
    first: str


def slope(points: tuple[tuple[int, float], ...]) -> tuple[float, float]:
    """(at none, for each chunk more) of a line through two sizes; never falling."""
    (n, low), (m, high) = points
    rise = max(0.0, (high - low) / (m - n))
    return max(0.0, low - rise * n), rise


def scanned(chunks: float) -> float:
    """Vectors that a search of an inverted file compares: its centroids, and the lists that it visits."""
    lists = max(1, round(4 * math.sqrt(chunks)))
    return lists + chunks * min(1.0, probes(lists) / lists)


def words_s(measured: Measured, chunks: float) -> float:
    """Core-seconds of a search by words over ``chunks``: posting lists grow with them."""
    base, each = slope(measured.bm25)
    return base + each * chunks


def vectors_s(measured: Measured, chunks: float) -> float:
    """Core-seconds of a search by meaning over ``chunks``, without the encoding of the query.

    What was measured is exact search, whose time for each vector more is that of comparing one.
    """
    _, each = slope(measured.dense)
    return each * scanned(chunks)


def plan(measured: Measured, load: Load, machine: Machine, prices: Prices) -> Plan:
    """The fleet for ``load``."""
    parts = (*answering(measured, load, machine), *keeping(measured, load, machine))
    month = sum(
        part.machines * machine.cores * prices.core_hour * MONTH_H
        + part.machines * machine.memory / 1e9 * prices.gb_memory_month
        + part.disk / 1e9 * prices.gb_disk_month
        + part.gpus * prices.gpu_hour * MONTH_H
        for part in parts
    )
    first = max(parts, key=lambda part: part.machines + part.gpus)
    return Plan(parts, month, first.name)


def answering(measured: Measured, load: Load, machine: Machine) -> tuple[Part, ...]:
    """API servers, GPUs, and what embeds all chunks within ``load.days``."""
    asked = measured.asked
    here = sum(one.find + one.check for one in asked) / len(asked)
    write = sum(one.write for one in asked) / len(asked)
    tokens = sum(one.prompt_tokens + one.completion_tokens for one in asked) / len(asked)
    gpus = math.ceil(load.questions * tokens / load.gpu_tokens_s / machine.use) if load.gpu_tokens_s else 0
    find = load.questions * here
    writing = 0.0 if gpus else load.questions * write
    embed = load.chunks * measured.ingest_s_a_chunk / (load.days * 86_400)
    servers = machines(find, machine) * measured.server_bytes
    return (
        Part("find and check", find, servers, 0, machines(find, machine)),
        Part("write", writing, 0, 0, machines(writing, machine), gpus),
        Part("embed", embed, 0, 0, machines(embed, machine)),
    )


def keeping(measured: Measured, load: Load, machine: Machine) -> tuple[Part, ...]:
    """Database servers, each with a copy that answers too, and index servers."""
    a_collection = load.chunks / load.collections
    words = load.questions * words_s(measured, a_collection)
    disk = 2 * load.chunks * measured.row_bytes_a_chunk
    rows = max(2, machines(words, machine), math.ceil(disk / machine.disk / FILLED))
    family = "ivf-sq8" if load.chunks <= 1e9 else "ivf-rabitq"
    memory = load.chunks * VECTOR_BYTES[family]
    index = max(1, math.ceil(memory / machine.memory / FILLED))
    shards = max(1, index // load.collections)  # each is searched for every question
    vectors = load.questions * shards * vectors_s(measured, a_collection / shards)
    index = max(index, machines(vectors, machine))
    stored = load.chunks * 2 * DIMENSION  # read again to rank what the codes found
    return (
        Part("rows and words", words, 0, disk, rows),
        Part(f"vectors ({family})", vectors, memory, stored, index),
    )


def machines(cores: float, machine: Machine) -> int:
    """How many machines carry ``cores`` busy cores."""
    return math.ceil(cores / (machine.cores * machine.use) - 1e-9)
