"""A decoder without weights whose next token depends on all tokens before it, so that a mix-up of rows shows."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from lm.engine import Session


class CountingEngine:
    """Next token: a hash of the unmasked tokens so far. ``widest`` is the largest batch that was fed."""

    def __init__(self, vocab_size: int, window: int):
        self.vocab_size = vocab_size
        self.window = window
        self.widest = 0
        self.broken = False
        self.entered = threading.Event()
        self._go = threading.Event()
        self._go.set()

    def hold(self) -> threading.Event:
        """Stop at the next call until the event that is returned is set."""
        self._go = threading.Event()
        return self._go

    @contextmanager
    def session(self, capacity: int) -> Iterator[Session]:
        yield _Session(self)


class _Session(Session):
    def __init__(self, engine: CountingEngine):
        super().__init__()
        self._engine = engine
        self._tokens: NDArray[np.int64] | None = None  # (B, S)

    def _run(
        self, ids: NDArray[np.int64], mask: NDArray[np.int64], rows: Sequence[int] | None, at: Sequence[int]
    ) -> NDArray[np.float32]:
        engine = self._engine
        engine.entered.set()
        assert engine._go.wait(20)
        if engine.broken:
            raise RuntimeError("broken")
        engine.widest = max(engine.widest, len(ids))
        before = self._tokens
        if before is not None and rows is not None:
            before = before[list(rows)]
        self._tokens = ids if before is None else np.concatenate((before, ids), axis=1)
        logits = np.zeros((len(ids), len(at), engine.vocab_size), dtype=np.float32)
        first = self._tokens.shape[1] - ids.shape[1]
        for row in range(len(ids)):
            for place, column in enumerate(at):
                seen = self._tokens[row, : first + column + 1][mask[row, : first + column + 1] == 1]
                token = int(np.sum((seen + 3) * (np.arange(len(seen)) * 7 + 1))) % engine.vocab_size
                logits[row, place, token] = 5.0
        return logits
