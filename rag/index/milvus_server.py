"""One collection's vectors in Milvus, or in milvus-lite: making, filling, searching. The only way to pymilvus.

Vectors lie in a collection `answerable_<store>_<id>_<random>`, found by the alias without the random part: another may
be built beside it and take its place at once. The entity of id -1 is no vector: its note says up to which change of the
database the collection has been brought. Foreign errors are translated here and nowhere else.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.index.families import Family
from rag.index.interface import IndexOptions
from rag.types import IndexBroken, InvalidInput

POSITION = -1  # the id of the entity that says how far the collection is
BATCH = 2_000  # vectors of one call; well below the 64 MB that one may have
FILTER_IDS = 10_000  # ids that one expression names
TIMEOUT_S = 30.0
# pymilvus would ping every 10 s, and a server of gRPC's usual settings, as milvus-lite's, hangs up on who pings more
# often than every 5 minutes. That a server is gone is found by the time limit of a call.
_CHANNEL = {"grpc.keepalive_time_ms": 330_000, "grpc.keepalive_permit_without_calls": False}
_PROBES, _BEAM = 32, 128  # lists that a search looks into, and candidates that a graph keeps
_LISTS = 1024

_INDEXES: dict[str, tuple[str, dict[str, Any]]] = {
    "auto": ("AUTOINDEX", {}),
    Family.EXACT: ("FLAT", {}),
    Family.IVF_SQ8: ("IVF_SQ8", {"nlist": _LISTS}),
    Family.HNSW_SQ8: ("HNSW_SQ", {"M": 16, "efConstruction": 100, "sq_type": "SQ8"}),
    Family.IVF_PQ: ("IVF_PQ", {"nlist": _LISTS, "m": 96, "nbits": 8}),
    Family.IVF_RABITQ: ("IVF_RABITQ", {"nlist": _LISTS}),
}
_ON_GPU: dict[str, tuple[str, dict[str, Any]]] = {
    Family.EXACT: ("GPU_BRUTE_FORCE", {}),
    Family.IVF_SQ8: ("GPU_IVF_FLAT", {"nlist": _LISTS}),
    Family.HNSW_SQ8: ("GPU_CAGRA", {"intermediate_graph_degree": 64, "graph_degree": 32}),
    Family.IVF_PQ: ("GPU_IVF_PQ", {"nlist": _LISTS, "m": 96, "nbits": 8}),
}


def index_kind(options: IndexOptions) -> tuple[str, dict[str, Any]]:
    """Milvus's name and parameters for a family; with device "cuda" the one on Milvus's own GPU, where it has one."""
    on_gpu = _ON_GPU if options.device == "cuda" else {}
    return on_gpu.get(options.family) or _INDEXES[options.family]


class MilvusCollection:
    """Vectors by chunk id, and a note. Safe to use from several threads."""

    def __init__(self, client: Any, where: str, alias: str, options: IndexOptions):
        self._client, self._where, self.alias = client, where, alias
        self.kind, self._parameters = index_kind(options)

    def note(self) -> str | None:
        """The note that `publish` or `put` left last; None where there is no collection or no note yet."""
        with translated(self._where):
            if not self._client.has_collection(self.alias):
                return None
            self._client.load_collection(self.alias)
            rows = self._rows(f"id == {POSITION}", ["note"])
        return str(rows[0]["note"]) if rows else None

    def draft(self, dimension: int) -> str:
        """The name of a new, empty collection that nobody searches yet."""
        from pymilvus import DataType

        name = f"{self.alias}_{uuid.uuid4().hex[:8]}"
        with translated(self._where):
            schema = self._client.create_schema(auto_id=False, enable_dynamic_field=True)
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
            index = self._client.prepare_index_params()
            index.add_index("vector", index_type=self.kind, metric_type="IP", params=self._parameters)
            self._client.create_collection(name, schema=schema, index_params=index, consistency_level="Bounded")
        return name

    def publish(self, draft: str) -> None:
        """Let ``draft`` take the place of the collection that is searched; the old one and left drafts go."""
        with translated(self._where):
            self._client.load_collection(draft)
            if self._client.has_collection(self.alias):
                self._client.alter_alias(draft, self.alias)
            else:
                self._client.create_alias(draft, self.alias)
            self._sweep(keep=draft)

    def put(self, ids: NDArray[np.int64], vectors: NDArray[np.float32], name: str = "") -> None:
        """Write vectors (N, D), in place of those of the same ids."""
        with translated(self._where):
            for first in range(0, len(ids), BATCH):
                part = slice(first, first + BATCH)
                rows = [{"id": int(i), "vector": v} for i, v in zip(ids[part], vectors[part], strict=True)]
                self._client.upsert(name or self.alias, rows)

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Delete vectors; those that are not there are not missed."""
        with translated(self._where):
            for first in range(0, len(ids), BATCH):
                self._client.delete(self.alias, ids=ids[first : first + BATCH].tolist())

    def mark(self, note: str, dimension: int, name: str = "") -> None:
        """Leave a note, in place of the last."""
        with translated(self._where):
            nothing = np.zeros(dimension, dtype=np.float32)
            self._client.upsert(name or self.alias, [{"id": POSITION, "vector": nothing, "note": note}])

    def nearest(
        self, queries: NDArray[np.float32], depth: int, ids: NDArray[np.int64] | None, strong: bool
    ) -> list[list[int]]:
        """About the ``depth`` nearest ids of each query (Q, D), best first; ``ids``: at most FILTER_IDS to keep to.

        ``strong``: all that was written so far is seen; otherwise all that was written some seconds ago.
        """
        with translated(self._where):
            found = self._client.search(
                self.alias,
                data=list(queries),
                limit=depth,
                filter="" if ids is None else f"id in {ids.tolist()}",
                search_params={"params": {"nprobe": _PROBES, "ef": max(_BEAM, depth)}},
                consistency_level="Strong" if strong else "Bounded",
            )
        return [[int(hit["id"]) for hit in row if int(hit["id"]) != POSITION] for row in found]

    def stored(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """All ids (B,) with their vectors (B, D), block by block."""
        with translated(self._where):
            every = self._client.query_iterator(
                self.alias,
                batch_size=BATCH,
                filter=f"id > {POSITION}",
                output_fields=["id", "vector"],
                consistency_level="Strong",
            )
            while rows := every.next():
                ids = np.array([row["id"] for row in rows], dtype=np.int64)
                yield ids, np.array([row["vector"] for row in rows], dtype=np.float32)
            every.close()

    def count(self) -> int:
        """How many vectors there are."""
        with translated(self._where):
            if not self._client.has_collection(self.alias):
                return 0
            return int(self._rows(f"id > {POSITION}", ["count(*)"])[0]["count(*)"])

    def drop(self) -> None:
        """Remove everything."""
        with translated(self._where):
            if self._client.has_collection(self.alias):
                self._client.drop_alias(self.alias)
            self._sweep(keep="")

    def _rows(self, expression: str, fields: list[str]) -> list[dict[str, Any]]:
        rows = self._client.query(self.alias, filter=expression, output_fields=fields, consistency_level="Strong")
        return list(rows)

    def _sweep(self, keep: str) -> None:
        for name in self._client.list_collections():
            if name.startswith(f"{self.alias}_") and name != keep:
                self._client.drop_collection(name)


def connect(url: str) -> Any:
    """A client of the server or file at ``url``. Raises InvalidInput without pymilvus, IndexBroken."""
    try:
        from pymilvus import MilvusClient
    except ImportError as error:
        raise InvalidInput(
            f"ANSWERABLE_INDEX_URL={hidden(url)} needs pymilvus; run: pip install 'answerable[milvus]'"
        ) from error
    for noisy in ("pymilvus", "grpc._server"):  # they would print what is raised as well, and what milvus-lite lacks
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    with translated(hidden(url)):
        return MilvusClient(url, timeout=TIMEOUT_S, grpc_options=_CHANNEL)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Errors of Milvus and of the way to it as IndexBroken."""
    from pymilvus import MilvusException

    try:
        yield
    except MilvusException as error:
        reason = str(error.message or error).splitlines()[0]
        raise IndexBroken(
            f"Milvus at {where}: {reason}; check that it runs and that no other process has its file open; the rows "
            "are safe, and: answerable doctor --repair fills it anew"
        ) from error


def hidden(url: str) -> str:
    """``url`` without the password in it."""
    scheme, _, rest = url.rpartition("://")
    return f"{scheme}://***@{rest.rpartition('@')[2]}" if "@" in rest else url
