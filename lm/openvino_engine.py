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
from lm.heap import trim_heap
from lm.ov import ov

MODEL_FILE = "model.xml"
WEIGHTS_FILE = "model.bin"
CACHE_FOLDER = "cache"

# Answers are written in f32. benchmarks/parity.py measures what else the plugin could do: tokens written in bf16 differ
# from torch's now and then, by a lot, and are no faster; quantised activations are not used with the zero points of
# lm/compress.py.
SETTINGS: dict[str, Any] = {
    "PERFORMANCE_HINT": "LATENCY",
    "INFERENCE_PRECISION_HINT": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
    "KV_CACHE_PRECISION": "f32",
}
# Prompts are read in bf16, all but their last token, where the processor has it: two to four times as fast, and the
# keys and values, handed over to the graph that writes, are near enough for the same answers. Keys and values in
# another precision than the arithmetic cost two to three times the time in attention.
READ_SETTINGS: dict[str, Any] = {**SETTINGS, "INFERENCE_PRECISION_HINT": "bf16", "KV_CACHE_PRECISION": "bf16"}
_TRIM_EVERY = 16  # sessions
_READ_FROM = 32  # tokens; below, handing over costs what reading saves
_READ_STEP = 16  # tokens, a multiple of it at a time: the plugin keeps megabytes for each length that it has read


class OpenVinoEngine:
    """A `lm.engine.Engine` on the stateful graph that lm/export.py writes.

    Each session has infer requests of its own, whose state is its KV cache; requests are kept and used again.
    """

    def __init__(self, folder: Path, config: DecoderConfig, settings: dict[str, Any] | None = None) -> None:
        """Load ``folder``/model.xml and model.bin; ``settings`` are OpenVINO properties that replace SETTINGS.

        Settings that name the precision hold for reading and writing alike. The compiled model is kept in
        ``folder``/cache, where that can be written. Raises CheckpointMissing or CheckpointBroken.
        """
        self.window = config.window
        self.vocab_size = config.vocab_size
        for name in (MODEL_FILE, WEIGHTS_FILE):
            if not (folder / name).is_file():
                raise CheckpointMissing(f"{folder / name}: no such file; export the model again")
        changed = settings or {}
        self._writer = _compile(folder, {**SETTINGS, **changed})
        reads_apart = "INFERENCE_PRECISION_HINT" not in changed and _has_bf16()
        self._reader = _compile(folder, {**READ_SETTINGS, **changed}) if reads_apart else None
        self._idle: SimpleQueue[tuple[Any, Any]] = SimpleQueue()
        self._served = 0

    @contextmanager
    def session(self, capacity: int) -> Iterator[OpenVinoSession]:  # noqa: ARG002 (the plugin grows the cache itself)
        """An empty session; ``capacity`` is not needed, the plugin grows the cache itself."""
        try:
            writer, reader = self._idle.get_nowait()
        except Empty:
            writer = self._writer.create_infer_request()
            reader = self._reader.create_infer_request() if self._reader else None
        writer.reset_state()
        try:
            yield OpenVinoSession(writer, reader)
        finally:
            self._idle.put((writer, reader))
            self._served += 1
            if self._served % _TRIM_EVERY == 0:
                trim_heap()


class OpenVinoSession(Session):
    """One answer's KV cache, held by the infer request that writes; ``reader`` reads the prompt, None for the same."""

    def __init__(self, writer: Any, reader: Any) -> None:
        super().__init__()
        self._writer, self._reader = writer, reader
        self._empty = True

    def _padding_before(self, count: int) -> int:
        """A prompt that the writer reads is padded to a multiple of _READ_STEP; a reader pads its own (`_read_one`)."""
        return -count % _READ_STEP if self._reader is None and count >= _READ_FROM else 0

    def _run(
        self, ids: NDArray[np.int64], mask: NDArray[np.int64], rows: Sequence[int] | None, at: Sequence[int]
    ) -> NDArray[np.float32]:
        last = ids.shape[1] - 1
        if self._empty and self._reader is not None and last >= _READ_FROM and list(at) == [last]:
            self._read(ids[:, :last], mask[:, :last])
            ids, at = ids[:, last:], (0,)
        self._empty = False
        return _infer(self._writer, ids, mask, rows, at)

    def _read(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> None:
        """Read the first tokens of the prompts, and hand their keys and values over to the writer.

        One prompt after the other: side by side they are read no faster, and take many times the memory.
        """
        states = self._writer.query_state()
        cache: list[NDArray[np.float32]] = []  # by state, (B, G, T, D): zeros where a row has padding
        for row, own in enumerate(mask > 0):
            if own.any():
                read = self._read_one(ids[row, own], states)
                cache = cache or [
                    np.zeros((len(ids), new.shape[1], len(own), new.shape[3]), np.float32) for new in read
                ]
                for whole, new in zip(cache, read, strict=True):
                    whole[row, :, -own.sum() :] = new.data[0, :, : own.sum()]
        for state, whole in zip(states, cache, strict=True):
            state.state = ov.Tensor(whole)

    def _read_one(self, ids: NDArray[np.int64], states: Sequence[Any]) -> list[Any]:
        """What reading ids (n,) adds to each state: the first n of (1, G, N, D).

        Padded to a multiple of _READ_STEP behind them, where no token sees it: the numbers stay the same to the last
        bit. In front it would change them, in bf16 by enough to change an answer now and then.
        """
        padded, mask = np.zeros((2, 1, -(-len(ids) // _READ_STEP) * _READ_STEP), np.int64)  # (1, N) each
        padded[0, : len(ids)] = ids
        mask[0, : len(ids)] = 1
        self._reader.reset_state()
        _infer(self._reader, padded, mask, None, (0,))
        return [self._reader.get_tensor(output_of(state.name)) for state in states]


def output_of(state: str) -> str:
    """The output that gives what a call adds to the state of that name: "past.3.keypresent.3.key" -> "new.3.key"."""
    return f"new.{state.rpartition('present.')[2]}"


def _infer(
    request: Any, ids: NDArray[np.int64], mask: NDArray[np.int64], rows: Sequence[int] | None, at: Sequence[int]
) -> NDArray[np.float32]:
    request.set_tensor("ids", ov.Tensor(np.ascontiguousarray(ids)))
    request.set_tensor("mask", ov.Tensor(np.ascontiguousarray(mask)))
    request.set_tensor("at", ov.Tensor(np.array(at, dtype=np.int64)))
    request.set_tensor("beam_idx", ov.Tensor(np.array(range(len(ids)) if rows is None else rows, np.int32)))
    request.infer()
    logits: NDArray[np.float32] = request.get_tensor("logits").data.copy()
    return logits


def _compile(folder: Path, properties: dict[str, Any]) -> Any:
    """The graph in ``folder``, ready to run. Raises CheckpointBroken."""
    if os.access(folder, os.W_OK):
        # A folder for each precision: the plugin takes the other one's file for its own, with other results.
        properties["CACHE_DIR"] = str(folder / CACHE_FOLDER / properties["INFERENCE_PRECISION_HINT"])
    try:
        return ov.Core().compile_model(folder / MODEL_FILE, "CPU", properties)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise CheckpointBroken(f"{folder}: not a whole OpenVINO model ({reason}); export the model again") from error


def _has_bf16() -> bool:
    """Whether the processor computes in bf16 by itself; where it does not, it would be slower than f32."""
    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
