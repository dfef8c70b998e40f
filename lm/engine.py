"""What runs a decoder: sessions, engines, and the function that picks an engine.

A `Session` is one request's state (its KV cache). It belongs to one thread at a time; an engine may have many sessions
open at once.

Letters in shape comments
    B  rows: sequences side by side    T  tokens of this call    S  places of a row so far, this call's included
    V  vocabulary                      N  positions asked for
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lm.config import read_config
from lm.errors import DeviceMissing

INT8_FOLDER = "int8"


class Session(ABC):
    """The tokens fed so far, as keys and values inside the engine: of one sequence, or of several side by side.

    Every token fed takes a place of the session's capacity for good. Those that are padding, or were dropped, are
    masked: no later token sees them or counts them in its position.
    """

    def __init__(self) -> None:
        self._mask: NDArray[np.int64] | None = None  # (B, S), 1 for a token, 0 for padding

    def feed(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Append ``ids`` (at least one) to a session of one row; logits (V,) for the token after the last of them."""
        return self._append(np.array([ids], dtype=np.int64), None, None, (len(ids) - 1,))[0, 0]  # type: ignore[no-any-return]

    def feed_each(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """As `feed`, with logits (T, V) for the token after each of ``ids``."""
        return self._append(np.array([ids], dtype=np.int64), None, None, range(len(ids)))[0]  # type: ignore[no-any-return]

    def feed_rows(
        self, ids: NDArray[np.int64], mask: NDArray[np.int64] | None = None, rows: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """Append ``ids`` (B, T); logits (B, V) for the token after the last column.

        mask: (B, T), 0 where ``ids`` is padding; None for no padding. rows: for each row of ``ids`` the row of the
        session that it goes on from, each any number of times, also none; None for all in order.
        """
        return self._append(ids, mask, rows, (ids.shape[1] - 1,))[:, 0]

    def drop(self, count: int) -> None:
        """Take back the last ``count`` tokens of every row, as if they had not been fed."""
        if count and self._mask is not None:
            self._mask[:, -count:] = 0

    def _append(
        self,
        ids: NDArray[np.int64],
        mask: NDArray[np.int64] | None,
        rows: Sequence[int] | None,
        at: Sequence[int],
    ) -> NDArray[np.float32]:
        new = np.ones(ids.shape, dtype=np.int64) if mask is None else mask.astype(np.int64)
        if self._mask is None:
            before = self._padding_before(ids.shape[1])
            room = ((0, 0), (before, 0))
            ids, at = np.pad(ids, room), [place + before for place in at]
            self._mask, rows = np.pad(new, room), None
        else:
            self._mask = np.concatenate((self._mask if rows is None else self._mask[list(rows)], new), axis=1)
        return self._run(ids, self._mask, rows, at)

    def _padding_before(self, count: int) -> int:  # noqa: ARG002 (for those that pad)
        """Columns of padding to put before the first ``count`` that are fed to an empty session."""
        return 0

    @abstractmethod
    def _run(
        self, ids: NDArray[np.int64], mask: NDArray[np.int64], rows: Sequence[int] | None, at: Sequence[int]
    ) -> NDArray[np.float32]:
        """Extend the rows of the cache (``rows`` of it first, where given) by ``ids`` (B, T), seeing ``mask`` (B, S).

        Returns logits (B, N, V) for the token after each column in ``at`` (N,).
        """


class Engine(Protocol):
    """A loaded decoder. Safe to use from several threads, each in its own session."""

    @property
    def window(self) -> int:
        """Most tokens a sequence may have, prompt and answer together."""

    @property
    def vocab_size(self) -> int:
        """Number of tokens (V); ids run from 0 to V - 1."""

    def session(self, capacity: int) -> AbstractContextManager[Session]:
        """An empty session for at most ``capacity`` tokens a row, freed on leaving the context."""


def load_engine(folder: Path, device: str = "cpu", threads: int = 0) -> Engine:
    """The engine for the model in ``folder``: OpenVINO on the CPU when ``folder``/int8 is there, torch otherwise.

    device: "cpu", "cuda" or "cuda:N". threads: CPU threads of OpenVINO, 0 for all. fp32 on the CPU through torch, bf16
    on CUDA. Raises CheckpointMissing or CheckpointBroken for files that are not there or not whole, DeviceMissing for a
    device this machine lacks.
    """
    config = read_config(folder)
    int8 = folder / INT8_FOLDER
    if device == "cpu" and int8.is_dir():
        # Imported per engine: torch takes seconds to import, and a process that runs OpenVINO never needs it.
        from lm.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(int8, config, {"INFERENCE_NUM_THREADS": threads} if threads else None)
    from lm.torch_engine import TorchEngine

    if device == "cpu":
        return TorchEngine(folder, "cpu", "float32")
    if device.split(":")[0] == "cuda":
        return TorchEngine(folder, device, "bfloat16")
    raise DeviceMissing(f"device {device!r} is not one that models run on here: use cpu, cuda or cuda:N")
