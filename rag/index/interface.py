"""What an index must be able to do, whoever keeps the vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag.store import Collection


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """``family``: one of Family or "auto"; ``memory``: bytes a collection's index may take, 0 for a share of all."""

    family: str = "auto"
    memory: int = 0
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class IndexStats:
    """Size of a collection's index, whether its file was usable, and how it fits the rows.

    ``vectors`` that stand, ``fresh`` of them in the side index; ``bytes_on_disk`` is 0 where a server keeps them.
    """

    collection: str
    kind: str
    vectors: int
    fresh: int
    rows: int
    seq: int
    bytes_on_disk: int
    problem: str


class Index(Protocol):
    """Nearest unit vectors by inner product, one view a collection. Safe to use from several threads.

    Every method may raise StoreUnavailable, and IndexBroken where the vectors cannot be reached or written.
    """

    def search(
        self,
        collection: Collection,
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The ``k`` nearest chunks of each query as of now: ids and cosines, both (Q, k), best first, ties by id.

        ``queries``: (Q, D) float32, unit rows. ``allowed``: chunk ids to keep to, rising; None for all. Where fewer
        than k chunks exist, ids are -1 and cosines -inf.
        """
        ...

    def vectors(self, collection: Collection, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of those chunk ids, shape (N, D); a row of zeros for an id that is gone."""
        ...

    def save(self, collection: Collection) -> None:
        """Catch up with the rows, and keep that for those who come later, where it is much."""
        ...

    def rebuild(self, collection: Collection) -> None:
        """Build the index again from the rows, whatever is there."""
        ...

    def stats(self, collection: Collection) -> IndexStats:
        """How the index fits the rows, without changing either."""
        ...

    def check(self, collection: Collection) -> IndexStats:
        """The same after catching up, with index and database compared row by row."""
        ...

    def settle(self, collection: Collection) -> None:
        """Wait for work that goes on in the background."""
        ...

    def drop(self, collection: Collection) -> None:
        """Forget a deleted collection and remove what was kept of it."""
        ...
