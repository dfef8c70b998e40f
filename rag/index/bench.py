"""What each family costs and finds: recall against exact search, latency, build time, memory.

    bench(vectors, queries, ("exact", "ivf-sq8"))        a Row for each family

Memory is measured, not reckoned: the resident memory that does not belong to files, plus the pages of mapped files
that searching brought in, of a process of its own (fork) that opens the saved index and searches. It is counted from
before the index was opened.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from rag.index import families
from rag.index.families import Family
from rag.index.files import StoredVectors, read_array, read_lists, write_lists
from rag.index.sealed import Sealed

K = 10
_TOPICS = 64
_SPECTRUM = 0.7  # exponent of the falling variance along axes; fitted to MiniLM vectors, see synthetic()
_WITHIN = 0.62  # share of a vector's variance that its cluster does not explain


@dataclass(frozen=True, slots=True)
class Row:
    """One family over N vectors: recall@10 in [0, 1], milliseconds a single search, seconds, bytes a vector."""

    family: str
    vectors: int
    recall: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    build_s: float
    bytes_a_vector: float
    disk_bytes_a_vector: float


def synthetic(count: int, dimension: int = 384, seed: int = 0) -> NDArray[np.float16]:
    """Unit vectors (N, D) that lie as a text encoder's do: topics, clusters of uneven size, few strong axes.

    A vector is a cluster's centre (itself around one of 64 topics) and noise whose variance falls along random axes as
    a power law. Constants were fitted to 9,354 MiniLM vectors of paragraphs: of 256 lists the nearest 4, 8, 16 and 32
    hold .79, .88, .94 and .98 of the ten nearest neighbours, and about as many here; the first 10 and 50 axes hold .21
    and .51 of the variance, here .23 and .50.
    """
    of_all = np.random.default_rng(0)  # the same axes and topics whatever the seed: queries come from the same place
    variance = np.arange(1, dimension + 1) ** -_SPECTRUM
    scale = np.sqrt(variance / variance.sum())
    axes = np.linalg.qr(of_all.standard_normal((dimension, dimension)))[0]
    mixing = (scale[:, None] * axes).astype(np.float32)  # (D, D)
    topics = of_all.standard_normal((_TOPICS, dimension), dtype=np.float32) @ mixing
    clusters = max(_TOPICS, 20_000)
    centres = (
        topics[of_all.integers(0, _TOPICS, clusters)]
        + of_all.standard_normal((clusters, dimension), dtype=np.float32) @ mixing
    )
    size = np.arange(1, clusters + 1) ** -0.5
    rng = np.random.default_rng([seed, count])
    vectors = np.empty((count, dimension), dtype=np.float16)
    for first in range(0, count, families.BLOCK):
        last = min(count, first + families.BLOCK)
        chosen = centres[rng.choice(clusters, last - first, p=size / size.sum())] / np.sqrt(2)
        noise = rng.standard_normal((last - first, dimension), dtype=np.float32) @ mixing
        block = np.sqrt(1 - _WITHIN) * chosen + np.sqrt(_WITHIN) * noise
        vectors[first:last] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return vectors


def bench(
    vectors: NDArray[np.float16],
    queries: NDArray[np.float32],
    wanted: Sequence[str],
    progress: Callable[[int, int | None], None],
    *,
    mapped: bool = False,
) -> list[Row]:
    """A row a family of ``wanted``. ``vectors`` (N, D), ``queries`` (Q, D) unit rows; ``mapped``: lists stay on disk.

    Raises OSError where the temporary folder has no room for the index.
    """
    truth = exact(vectors, queries)
    rows = []
    for number, name in enumerate(wanted):
        progress(number, len(wanted))
        rows.append(_measure(Family(name), vectors, queries, truth, mapped))
    progress(len(wanted), len(wanted))
    return rows


def exact(vectors: NDArray[np.float16], queries: NDArray[np.float32]) -> NDArray[np.int64]:
    """The true nearest K rows of each query, (Q, K)."""
    best = np.full((len(queries), K), -np.inf, dtype=np.float32)
    rows = np.zeros((len(queries), K), dtype=np.int64)
    for number, block in enumerate(families.blocks(vectors)):
        scores, found = faiss.knn(queries, block, K, metric=faiss.METRIC_INNER_PRODUCT)
        both, of_both = np.hstack([best, scores]), np.hstack([rows, found + number * families.BLOCK])
        order = np.argsort(-both, axis=1)[:, :K]
        best, rows = np.take_along_axis(both, order, axis=1), np.take_along_axis(of_both, order, axis=1)
    return rows


def _measure(
    family: Family,
    vectors: NDArray[np.float16],
    queries: NDArray[np.float32],
    truth: NDArray[np.int64],
    mapped: bool,
) -> Row:
    with tempfile.TemporaryDirectory(prefix="answerable-bench-") as name:
        folder = Path(name)
        started = time.perf_counter()
        index = families.build(family, vectors)
        np.save(folder / "vectors.npy", vectors, allow_pickle=False)
        if family is not Family.EXACT:
            write_lists(index, folder / "lists.faiss")
        seconds = time.perf_counter() - started
        del index
        disk = sum(path.stat().st_size for path in folder.iterdir())
        times, found, memory = _in_a_process(family, folder, queries, mapped)
    hits = [len(set(ours) & set(true)) / K for ours, true in zip(found.tolist(), truth.tolist(), strict=True)]
    p50, p95, p99 = np.percentile(np.array(times) * 1000, (50, 95, 99))
    count = len(vectors)
    cost = (float(p50), float(p95), float(p99), seconds, memory / count, disk / count)
    return Row(family.value, count, float(np.mean(hits)), *cost)


def _in_a_process(
    family: Family, folder: Path, queries: NDArray[np.float32], mapped: bool
) -> tuple[list[float], NDArray[np.int64], int]:
    """Seconds of each search, the rows found (Q, K), and the bytes of memory that it took."""
    context = multiprocessing.get_context("spawn")  # a fork would inherit pages, and OpenMP's threads do not survive it
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, family.value, folder, mapped, faiss.omp_get_max_threads()))
    process.start()
    try:
        ours.send_bytes(np.ascontiguousarray(queries, dtype=np.float32).tobytes())
        times = np.frombuffer(ours.recv_bytes(), dtype=np.float64).tolist()
        found = np.frombuffer(ours.recv_bytes(), dtype=np.int64).reshape(-1, K)
        memory = int(np.frombuffer(ours.recv_bytes(), dtype=np.int64)[0])
    except EOFError as error:
        raise OSError(f"the searching process died over {folder}") from error
    finally:
        process.join()
    return times, found, memory


def _serve(pipe: Connection, family: str, folder: Path, mapped: bool, threads: int) -> None:
    faiss.omp_set_num_threads(threads)
    before = _resident()
    stored = StoredVectors(read_array(folder / "vectors.npy", mapped=True), folder / "vectors.npy")
    count, dimension = stored.array.shape
    kind = Family(family)
    if kind is Family.EXACT:
        index = families.build(kind, stored.array)
    else:
        index = read_lists(folder / "lists.faiss", mapped=mapped)
    sealed = Sealed(kind, mapped, np.arange(count), stored, index, 0)
    queries = np.frombuffer(pipe.recv_bytes(), dtype=np.float32).reshape(-1, dimension)
    times, found = [], []
    for query in [*queries[:20], *queries]:  # the first ones warm caches and are not counted
        started = time.perf_counter()
        ids, _ = sealed.search(query[None], K, None)
        times.append(time.perf_counter() - started)
        found.append(ids[0])
    memory = _resident() - before
    pipe.send_bytes(np.array(times[20:]).tobytes())
    pipe.send_bytes(np.array(found[20:], dtype=np.int64).tobytes())
    pipe.send_bytes(np.array([memory], dtype=np.int64).tobytes())


def _resident() -> int:
    """Bytes of resident memory of this process, mapped files included."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmRSS; memory can be measured on Linux only")
