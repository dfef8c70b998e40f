"""Give all chunks of a collection new vectors, made by the encoder in use: after a change of encoder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rag.build import Search
from rag.store import Collection


def reembed(
    search: Search, collection: Collection, progress: Callable[[int, int | None], None] = lambda _done, _total: None
) -> int:
    """Embed every chunk of ``collection`` again; returns how many. ``progress`` is called with (done, total).

    A process that runs the old encoder goes on answering from the old vectors all the while. All vectors change in one
    transaction, together with the collection's encoder, so a reader sees the old ones or the new ones and never a
    mixture.
    """
    ids: list[int] = []
    total = search.store.chunks.count(collection)
    vectors = [np.zeros((0, search.encoder.dimension), dtype=np.float32)]
    for batch in search.store.chunks.texts(collection):
        ids.extend(chunk_id for chunk_id, _, _ in batch)
        vectors.append(search.encoder.encode([f"{heading}\n{text}" for _, heading, text in batch]))
        progress(len(ids), total)
    search.store.chunks.set_vectors(collection, search.encoder.fingerprint, ids, np.concatenate(vectors))
    return len(ids)
