"""The decoder through torch: any device torch has, fp32 or bf16. Letters in shape comments as in lm/model.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lm.checkpoint import load
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


class TorchSession:
    """One request's KV cache."""

    def __init__(self, model: Decoder, capacity: int) -> None:
        self._model = model
        self._like = model.lm_head.weight
        self._cache = KVCache(model.config, capacity, like=self._like)

    def feed(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Append ``ids`` and return logits (V,) for the token after the last of them."""
        # Entered per call, not per session: the flag is a thread's, and a session may be left on another.
        with torch.inference_mode():
            new = torch.tensor([list(ids)], dtype=torch.int64, device=self._like.device)  # (1, T)
            last = torch.tensor([len(ids) - 1], device=self._like.device)  # (1,)
            logits = self._model(new, cache=self._cache, at=last)  # (1, 1, V)
            return logits[0, 0].float().cpu().numpy()  # type: ignore[no-any-return]
