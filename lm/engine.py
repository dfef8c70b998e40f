"""What runs a decoder: one protocol, two engines, and the function that picks one.

A `Session` is one request's state (its KV cache). It belongs to one thread at a time; an engine may have many sessions
open at once. `feed` takes any number of tokens, so a prompt, the next token, and a guessed run of tokens are one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lm.config import read_config
from lm.errors import DeviceMissing

INT8_FOLDER = "int8"


class Session(Protocol):
    """The tokens fed so far, as keys and values inside the engine."""

    def feed(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Append ``ids`` (at least one) and return logits (V,) for the token after the last of them."""


class Engine(Protocol):
    """A loaded decoder. Safe to use from several threads, each in its own session."""

    @property
    def window(self) -> int:
        """Most tokens a sequence may have, prompt and answer together."""

    @property
    def vocab_size(self) -> int:
        """Number of tokens (V); ids run from 0 to V - 1."""

    def session(self, capacity: int) -> AbstractContextManager[Session]:
        """An empty session for at most ``capacity`` tokens, freed on leaving the context."""


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
