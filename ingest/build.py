"""Settings -> the ingester, over the parts that rag/build.py made."""

from __future__ import annotations

from ingest.chunk import ChunkOptions
from ingest.run import Ingester
from rag.build import Search
from rag.settings import Settings


def build_ingester(settings: Settings, search: Search) -> Ingester:
    """The ingester for ``search``'s store and encoder."""
    return Ingester(
        encoder=search.encoder,
        store=search.store,
        index=search.index,
        options=ChunkOptions(target=settings.chunk_tokens),
        max_bytes=int(settings.max_file_mb * 1e6),
    )
