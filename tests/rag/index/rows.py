"""Rows and processes for the index tests, without an encoder: vectors in clusters, written as documents."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.store import Collection, Source, Store
from rag.types import Chunk, ParsedDocument

DIMENSION = 32


def clustered(count: int, seed: int) -> NDArray[np.float32]:
    """Unit vectors around 60 centres, (N, D), as float16 keeps them."""
    centres = np.random.default_rng(0).normal(size=(60, DIMENSION))
    rng = np.random.default_rng(seed)
    vectors = centres[rng.integers(0, 60, count)] + 0.6 * rng.normal(size=(count, DIMENSION))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    rounded: NDArray[np.float32] = unit.astype(np.float16).astype(np.float32)
    return rounded


def put(store: Store, collection: Collection, uri: str, vectors: NDArray[np.float32]) -> str:
    """A document of ``len(vectors)`` chunks; returns its id."""
    parts = [Chunk(2 * i, 2 * i + 1, "x") for i in range(len(vectors))]
    return store.documents.put(
        collection, Source(uri, "h"), ParsedDocument(uri, "x " * len(vectors), "txt/1"), parts, vectors
    )


def write_and_delete(database: str, documents: int, deletions: int) -> None:
    """What the other process does: puts documents of ten chunks and deletes some of those there were, by turns."""
    store = Store.open(database)
    collection = store.collections.get("default")
    old = [row.id for row in store.documents.all(collection)][:deletions]
    for number in range(documents):
        put(store, collection, f"/new/{number}", clustered(10, 10_000 + number))
        if number % max(1, documents // max(1, deletions)) == 0 and old:
            store.documents.delete(old.pop())
        time.sleep(0.001)
    while old:
        store.documents.delete(old.pop())
    store.close()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    write_and_delete(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
