"""Settings -> the ingester, over the parts that rag/build.py made."""

from __future__ import annotations

from ingest.chunk import ChunkOptions
from ingest.run import Ingester, Limits
from rag.build import ENCODER, Search
from rag.encode import TOKENIZER_FILE
from rag.settings import Settings
from rag.weights import require


def build_ingester(settings: Settings, search: Search) -> Ingester:
    """The ingester for ``search``'s store and encoder."""
    return Ingester(
        encoder=search.encoder,
        store=search.store,
        index=search.index,
        options=ChunkOptions(target=settings.chunk_tokens),
        max_bytes=int(settings.max_file_mb * 1e6),
        limits=Limits(settings.file_seconds, settings.file_memory_mb * 1_000_000),
        workers=settings.threads,
        tokenizer=require(settings.home, ENCODER) / TOKENIZER_FILE,
    )
