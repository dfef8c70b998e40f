"""FAISS on a GPU: a clone of a CPU index, which stays the master copy (saving writes the master).

UNTESTED ON HARDWARE: written against FAISS 1.15's interface; tests reach it only as far as a machine without a GPU
allows. Exact and IVF (flat, scalar and product quantised) are cloned; RaBitQ and graphs have no GPU form and stay on
the CPU. CAGRA, a graph built on the GPU, needs a FAISS built with cuVS, which the package on the index is not.
"""

from __future__ import annotations

import threading
from typing import Any

import faiss
import numpy as np
import structlog
from numpy.typing import NDArray

from rag.index.families import Family, probes

log = structlog.get_logger()

TEMP_BYTES = 256 << 20  # working memory FAISS may reserve on the device; its default is a fifth of the card
MAX_K = 2048  # a limit of FAISS's GPU kernels
_CLONED = (Family.EXACT, Family.IVF_SQ8, Family.IVF_PQ)


class GpuClone:
    """A copy of a CPU index on the first GPU. FAISS's GPU indexes are not thread-safe, so each has one lock."""

    def __init__(self, index: Any):
        self._resources = faiss.StandardGpuResources()
        self._resources.setTempMemory(TEMP_BYTES)
        options = faiss.GpuClonerOptions()
        options.indicesOptions = faiss.INDICES_64_BIT
        self._index = faiss.index_cpu_to_gpu(self._resources, 0, index, options)
        self._lock = threading.Lock()

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Scores and row numbers, (Q, k), best first; ``k`` at most MAX_K."""
        with self._lock:
            if hasattr(self._index, "nprobe"):
                self._index.nprobe = probes(self._index.nlist)
            scores, rows = self._index.search(queries, k)
        return scores, rows


def clone(index: Any, family: Family, device: str) -> GpuClone | None:
    """The clone, or None where no GPU is wanted, there, or able to hold this family."""
    if device != "cuda" or family not in _CLONED or not gpus():
        return None
    try:
        return GpuClone(index)
    except RuntimeError as error:  # out of device memory, most of all
        log.warning("index stays on the CPU", reason=str(error).splitlines()[0])
        return None


def gpus() -> int:
    """GPUs that this build of FAISS can use; 0 for the CPU build."""
    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def build_cagra(vectors: NDArray[np.float32], links: int = 32) -> Any:
    """A CAGRA graph over ``vectors`` (N, D), built on the GPU and brought to the CPU as an HNSW index.

    Raises RuntimeError where this FAISS has no CAGRA.
    """
    if not hasattr(faiss, "GpuIndexCagra") or not gpus():
        raise RuntimeError("this FAISS has no CAGRA: it needs a build with cuVS and a GPU")
    config = faiss.GpuIndexCagraConfig()
    config.graph_degree = links
    config.intermediate_graph_degree = 2 * links
    resources = faiss.StandardGpuResources()
    graph = faiss.GpuIndexCagra(resources, vectors.shape[1], faiss.METRIC_INNER_PRODUCT, config)
    graph.train(vectors)
    master = faiss.IndexHNSWCagra()
    graph.copyTo(master)
    return master
