"""What every evaluation needs: a throw-away store to ingest into, and the settings that its numbers depend on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rag.build import Search, build_search, build_store
from rag.settings import Settings

_MATTER = ("device", "top_k", "passage_tokens", "max_new_tokens", "chunk_tokens", "min_support")


@contextmanager
def scratch_search(settings: Settings) -> Iterator[Search]:
    """Store, index and retriever in a temporary folder, gone at the end; models come from the real HOME."""
    with tempfile.TemporaryDirectory(prefix="answerable-eval-") as folder:
        scratch = settings.model_copy(update={"database_url": f"sqlite:///{folder}/eval.db", "index_url": folder})
        store = build_store(scratch)
        try:
            yield build_search(scratch, store)
        finally:
            store.close()


def answer_settings(settings: Settings) -> dict[str, Any]:
    """The settings that change what is measured, for the run file."""
    return {name: getattr(settings, name) for name in _MATTER}
