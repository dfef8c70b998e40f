"""The vector index: a view of the rows of each collection, always rebuildable. By FAISS under HOME/index, or in Milvus.

    interface.py what an index is                                    milvus.py, milvus_server.py   the one in Milvus

The rest is FAISS's:

    families.py  what kinds there are, and the rule that chooses      sealed.py  the main index, never changed
    fresh.py     the side index of what came since                    view.py    both together, catching up, merging
    build.py     rows -> index -> files                               files.py   the files themselves
    gpu.py       clones on a GPU                                      bench.py   what each family costs and finds

Files that are missing, cut short, altered, of another database, or ahead of it (a restored backup) are dropped and the
index is built again from the rows; nothing is embedded again. FAISS and pymilvus stay inside this folder.
"""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.index.build import Shelf
from rag.index.families import Family
from rag.index.interface import Index, IndexOptions, IndexStats
from rag.index.view import View
from rag.store import Collection, Store

__all__ = ["Family", "Index", "IndexOptions", "IndexStats", "VectorIndex", "open_index"]

_MILVUS = ("http://", "https://", "unix:")
_MILVUS_FILE = ".db"


def open_index(url: str, store: Store, options: IndexOptions) -> Index:
    """The index at ``url``: a folder of FAISS files, http://host:port of Milvus, or milvus-lite's path ending in .db.

    Raises InvalidInput where its library is missing, IndexBroken where it cannot be reached.
    """
    if url.startswith(_MILVUS) or url.endswith(_MILVUS_FILE):
        from rag.index.milvus import MilvusIndex  # here, not above: an extra, and slow to import

        return MilvusIndex(url, store, options)
    return VectorIndex(Path(url), store, options)


class VectorIndex:
    """An Index of FAISS files in a folder."""

    def __init__(self, folder: Path, store: Store, options: IndexOptions = IndexOptions()):  # noqa: B008 (frozen)
        self._folder = folder
        self._store = store
        self._options = options
        self._views: dict[int, View] = {}
        self._lock = threading.Lock()

    def search(
        self,
        collection: Collection,
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The ``k`` nearest chunks of each query: ids and cosines, both (Q, k), best first.

        ``queries``: (Q, D) float32, unit rows. ``allowed``: chunk ids to keep to, rising; None for all. Where fewer
        than k chunks exist, ids are -1 and cosines -inf.
        """
        view = self._view(collection)
        view.refresh()
        return view.search(queries, k, allowed)

    def vectors(self, collection: Collection, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of those chunk ids, shape (N, D); a row of zeros for an id that is gone."""
        return self._view(collection).vectors(ids)

    def save(self, collection: Collection) -> None:
        """Catch up, and write the index files if they are far behind. Raises IndexBroken."""
        view = self._view(collection)
        view.refresh()
        view.save()

    def rebuild(self, collection: Collection) -> None:
        """Build the index again from the rows, and write it. Raises IndexBroken."""
        self._view(collection).rebuild()

    def stats(self, collection: Collection) -> IndexStats:
        """How the saved files and the view fit the rows, without changing either."""
        return self._view(collection).stats()

    def check(self, collection: Collection) -> IndexStats:
        """The same after catching up, with index and database compared row by row."""
        return self._view(collection).check()

    def settle(self, collection: Collection) -> None:
        """Wait for a merge that is going on in the background."""
        self._view(collection).settle()

    def drop(self, collection: Collection) -> None:
        """Forget a deleted collection and remove its files."""
        with self._lock:
            self._views.pop(collection.id, None)
        shutil.rmtree(self._folder_of(collection), ignore_errors=True)

    def _folder_of(self, collection: Collection) -> Path:
        return self._folder / f"{self._store.id[:12]}-{collection.id}"

    def _view(self, collection: Collection) -> View:
        with self._lock:
            view = self._views.get(collection.id)
            if view is None or view.shelf.collection != collection:  # new, or embedded anew by another encoder
                view = View(Shelf(self._folder_of(collection), self._store, collection, self._options))
                self._views[collection.id] = view
            return view
