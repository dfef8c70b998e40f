"""Settings -> the ingester, over the parts that rag/build.py made."""

from __future__ import annotations

from ingest.chunk import ChunkOptions
from ingest.run import Ingester, Limits, Nodes
from rag.build import ENCODER, Search, resolve_device
from rag.encode import TOKENIZER_FILE
from rag.settings import Settings
from rag.types import InvalidInput
from rag.weights import require


def build_ingester(settings: Settings, search: Search, ray: str | None = None) -> Ingester:
    """The ingester for ``search``'s store and encoder; with ``ray`` the nodes of the cluster there read and embed.

    Raises InvalidInput where Ray is not installed, ClusterUnavailable.
    """
    return Ingester(
        encoder=search.encoder,
        store=search.store,
        index=search.index,
        options=ChunkOptions(target=settings.chunk_tokens),
        max_bytes=int(settings.max_file_mb * 1e6),
        limits=Limits(settings.file_seconds, settings.file_memory_mb * 1_000_000),
        workers=settings.threads,
        tokenizer=require(settings.home, ENCODER) / TOKENIZER_FILE,
        nodes=_nodes(settings, search, ray) if ray else None,
    )


def _nodes(settings: Settings, search: Search, address: str) -> Nodes:
    try:
        from ingest.ray_pool import RayNodes  # here, not above: an extra that most do without
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise InvalidInput("--ray needs Ray, which is not installed; run: pip install 'answerable[ray]'") from error
    return RayNodes(address, settings, search.encoder.fingerprint, resolve_device(settings) == "cuda")
