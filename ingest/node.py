"""Reading, cutting and embedding on one node of a cluster; the driver commits. Knows nothing of Ray."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.discover import Found
from ingest.embed import embed, headed
from ingest.known import Known
from ingest.reading import Crew, Event, Fresh, Reading
from ingest.sandbox import Recipe
from rag.build import build_encoder
from rag.encode import Encoder
from rag.settings import Settings

WINDOW = 384  # chunks that are embedded together


@dataclass(frozen=True, slots=True)
class NodeTask:
    """What a node must know for all files of a run: settings, how to cut, what is known, the largest file in bytes."""

    settings: dict[str, Any]
    recipe: Recipe
    known: Known
    most_bytes: int


@dataclass(frozen=True, slots=True)
class NodeResult:
    """What became of some files: their events, and the vectors (N, D) of the Fresh ones' parts, in that order.

    ``unseen``: files that are not there on this node.
    """

    events: tuple[Event, ...]
    vectors: NDArray[np.float32]
    unseen: tuple[str, ...]


class NodeReader:
    """Reads batches of files with ``cores`` sandboxed processes, kept from batch to batch, and an encoder."""

    def __init__(self, task: NodeTask, cores: int):
        self._task = task
        self._cores = cores
        self._encoder: Encoder | None = None
        self._crew = Crew.of(task.recipe, cores)

    def hello(self) -> str:
        """Gets ready; the encoder's fingerprint, which must be the driver's. Raises ModelMissing, ModelBroken.

        Not in the constructor: what an actor's raises is not told by its type.
        """
        self._encoder = build_encoder(Settings(**self._task.settings | {"threads": self._cores}))
        return self._encoder.fingerprint

    def read(self, files: Sequence[Found]) -> NodeResult:
        """What becomes of ``files``, after `hello`. Safe to call from several threads: one reads, another embeds."""
        task, encoder = self._task, self._encoder
        assert encoder is not None
        unseen = tuple(found.uri for found in files if not found.skipped and not os.path.lexists(found.path))
        reading = Reading(self._crew, task.known, task.most_bytes)
        events: list[Event] = []
        vectors = [np.zeros((0, encoder.dimension), dtype=np.float32)]
        waiting: list[Fresh] = []
        for event in reading.events(files):
            if event is None:
                continue
            events.append(event)
            if isinstance(event, Fresh):
                reading.release(event)
                waiting.append(event)
            if sum(len(one.parsed.parts) for one in waiting) >= WINDOW:
                vectors.append(_embed(encoder, waiting))
                waiting = []
        vectors.append(_embed(encoder, waiting))
        return NodeResult(tuple(events), np.concatenate(vectors), unseen)

    def close(self) -> None:
        """End the worker processes; in a cluster they end with their actor."""
        self._crew.close()


def _embed(encoder: Encoder, events: Sequence[Fresh]) -> NDArray[np.float32]:
    return embed(encoder, [headed(event.parsed) for event in events])
