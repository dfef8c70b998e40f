"""The decoder through torch: any device torch has, fp32 or bf16. Letters in shape comments as in lm/model.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lm.checkpoint import load
from lm.engine import Session
from lm.errors import DeviceMissing
from lm.model import Decoder, KVCache


class TorchEngine:
    """A `lm.engine.Engine` on torch. Sessions share nothing but the weights, which nobody writes."""

    def __init__(self, folder: Path, device: str = "cpu", dtype: str = "float32") -> None:
        """Load the checkpoint in ``folder``. Raises DeviceMissing when torch cannot put a tensor on ``device``."""
        model = load(folder, dtype)
        try:
            self._model: Decoder = model.to(device)
        # torch built without CUDA raises AssertionError, with CUDA but no card RuntimeError.
        except (RuntimeError, AssertionError) as error:
            raise DeviceMissing(f"device {device!r} is not usable here ({error}): use cpu") from error
        self._model.tie()
        self.window = self._model.config.window
        self.vocab_size = self._model.config.vocab_size

    @contextmanager
    def session(self, capacity: int) -> Iterator[TorchSession]:
        """An empty session for at most ``capacity`` tokens."""
        yield TorchSession(self._model, capacity)


class TorchSession(Session):
    """One request's KV cache."""

    def __init__(self, model: Decoder, capacity: int) -> None:
        super().__init__()
        self._model = model
        self._capacity = capacity
        self._cache: KVCache | None = None

    def _run(
        self, ids: NDArray[np.int64], mask: NDArray[np.int64], rows: Sequence[int] | None, at: Sequence[int]
    ) -> NDArray[np.float32]:
        like = self._model.lm_head.weight
        # Entered per call, not per session: the flag is a thread's, and a session may be left on another.
        with torch.inference_mode():
            if self._cache is None:
                self._cache = KVCache(self._model.config, self._capacity, len(ids), like)
            if rows is not None:
                self._cache.pick(torch.tensor(list(rows), device=like.device))
            new = torch.from_numpy(ids).to(like.device)  # (B, T)
            # No mask where all are tokens: attention is faster without one.
            seen = None if mask.all() else torch.from_numpy(mask).to(like.device).bool()  # (B, S)
            logits = self._model(new, seen, self._cache, torch.tensor(list(at), device=like.device))  # (B, N, V)
            return logits.float().cpu().numpy()  # type: ignore[no-any-return]
