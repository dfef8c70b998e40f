"""The decoder through OpenVINO on the CPU: int8 weights, the KV cache inside the plugin. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lm.config import DecoderConfig
from lm.engine import Session
from lm.errors import CheckpointBroken, CheckpointMissing
from lm.ov import ov

MODEL_FILE = "model.xml"
WEIGHTS_FILE = "model.bin"
CACHE_FOLDER = "cache"

# benchmarks/parity.py measures what the plugin's own choices change against torch in fp32: bf16 arithmetic is twice as
# fast with prompts and changed 7 of 100 answers, keys and values in u8 more. Keys and values in another precision than
# the arithmetic cost two to three times the time in attention. Quantised activations are not used with the zero points
# of lm/compress.py.
SETTINGS: dict[str, Any] = {
    "PERFORMANCE_HINT": "LATENCY",
    "INFERENCE_PRECISION_HINT": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
    "KV_CACHE_PRECISION": "f32",
}


class OpenVinoEngine:
    """A `lm.engine.Engine` on the stateful graph that lm/export.py writes.

    Each session has an infer request of its own, whose state is its KV cache; requests are kept and used again.
    """

    def __init__(self, folder: Path, config: DecoderConfig, settings: dict[str, Any] | None = None) -> None:
        """Load ``folder``/model.xml and model.bin; ``settings`` are OpenVINO properties that replace SETTINGS.

        The compiled model is kept in ``folder``/cache, where that can be written. Raises CheckpointMissing or
        CheckpointBroken.
        """
        self.window = config.window
        self.vocab_size = config.vocab_size
        for name in (MODEL_FILE, WEIGHTS_FILE):
            if not (folder / name).is_file():
                raise CheckpointMissing(f"{folder / name}: no such file; export the model again")
        properties = {**SETTINGS, **(settings or {})}
        if os.access(folder, os.W_OK):
            properties["CACHE_DIR"] = str(folder / CACHE_FOLDER)
        try:
            self._compiled = ov.Core().compile_model(folder / MODEL_FILE, "CPU", properties)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise CheckpointBroken(
                f"{folder}: not a whole OpenVINO model ({reason}); export the model again"
            ) from error
        self._idle: SimpleQueue[Any] = SimpleQueue()

    @contextmanager
    def session(self, capacity: int) -> Iterator[OpenVinoSession]:  # noqa: ARG002 (the plugin grows the cache itself)
        """An empty session; ``capacity`` is not needed, the plugin grows the cache itself."""
        try:
            request = self._idle.get_nowait()
        except Empty:
            request = self._compiled.create_infer_request()
        request.reset_state()
        try:
            yield OpenVinoSession(request)
        finally:
            self._idle.put(request)


class OpenVinoSession(Session):
    """One request's KV cache, held by its infer request."""

    def __init__(self, request: Any) -> None:
        super().__init__()
        self._request = request

    def _run(
        self, ids: NDArray[np.int64], mask: NDArray[np.int64], rows: Sequence[int] | None, at: Sequence[int]
    ) -> NDArray[np.float32]:
        self._request.set_tensor("ids", ov.Tensor(ids))
        self._request.set_tensor("mask", ov.Tensor(mask))
        self._request.set_tensor("at", ov.Tensor(np.array(at, dtype=np.int64)))
        self._request.set_tensor("beam_idx", ov.Tensor(np.array(range(len(ids)) if rows is None else rows, np.int32)))
        self._request.infer()
        logits: NDArray[np.float32] = self._request.get_tensor("logits").data.copy()
        return logits
