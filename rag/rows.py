"""Rows of tokens through a graph on the CPU: batches of one length, several side by side, and no row twice.

Each row is padded to a multiple of 8 of its own length, never to its neighbours', so what comes out for a row depends
on that row alone, to the last digit. What was computed for an equal row is therefore given again: one answer has its
passages read up to three times for the same question, and people ask the same questions.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.encode import length_batches, padded_length
from rag.pair_tokens import Pair
from rag.types import ModelBroken

KEPT = 2048  # rows whose outputs are remembered, some 4 kB each

Floats = NDArray[np.float32]
Outputs = tuple[Floats, ...]
_Key = bytes


class RowRunner:
    """Runs pairs through ``compiled``, ``streams`` batches side by side. Safe to call from any number of threads."""

    def __init__(self, compiled: Any, streams: int, kept: int = KEPT) -> None:
        self._compiled = compiled
        self._streams = streams
        self._idle: SimpleQueue[Any] = SimpleQueue()
        self._memory = _Memory(kept)

    def run(self, pairs: Sequence[Pair]) -> list[Outputs]:
        """For each pair the graph's outputs without the axis of the batch, token axes cut to the pair; not writable.

        Raises ModelBroken for outputs that are no numbers.
        """
        keys = [_key(pair) for pair in pairs]
        found = self._memory.recall(keys)
        new = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in found}
        if new:
            computed = dict(zip(new, self._compute(list(new.values())), strict=True))
            self._memory.keep(computed)
            found |= computed
        return [found[key] for key in keys]

    def _compute(self, pairs: list[Pair]) -> list[Outputs]:
        found: list[Outputs] = [()] * len(pairs)
        running: deque[tuple[Any, list[int]]] = deque()
        try:
            for rows in length_batches([len(pair) for pair in pairs]):
                request = self._free() if len(running) < self._streams else _collect(running, pairs, found)
                request.start_async(_tensors([pairs[row] for row in rows]))
                running.append((request, rows))
            while running:
                self._idle.put(_collect(running, pairs, found))
        finally:
            for request, _ in running:  # after an error: they still compute, and are not used again
                request.wait()
        return found

    def _free(self) -> Any:
        try:
            return self._idle.get_nowait()
        except Empty:
            return self._compiled.create_infer_request()


class _Memory:
    """The outputs of the rows used last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: OrderedDict[_Key, Outputs] = OrderedDict()
        self._lock = threading.Lock()

    def recall(self, keys: Sequence[_Key]) -> dict[_Key, Outputs]:
        with self._lock:
            known = {key: self._rows[key] for key in keys if key in self._rows}
            for key in known:
                self._rows.move_to_end(key)
        return known

    def keep(self, rows: dict[_Key, Outputs]) -> None:
        with self._lock:
            self._rows.update(rows)
            while len(self._rows) > self._most:
                self._rows.popitem(last=False)


def _key(pair: Pair) -> _Key:
    """Equal for rows that the graph sees as equal, and for no others."""
    digest = hashlib.blake2b(pair.ids.tobytes(), digest_size=24)
    digest.update(b"%d" % pair.second_at)
    return digest.digest()


def _collect(running: deque[tuple[Any, list[int]]], pairs: Sequence[Pair], found: list[Outputs]) -> Any:
    """Wait for the request that was started first, put its results into their places, and return it, free again."""
    request, rows = running[0]
    request.wait()
    running.popleft()
    outputs = [np.array(request.get_output_tensor(place).data) for place in range(len(request.model_outputs))]
    if not all(np.isfinite(output).all() for output in outputs):
        raise ModelBroken("the model gave numbers that are none; remove its folder and run: answerable models pull")
    width = padded_length(len(pairs[rows[0]]))  # labels (B, 3) have no axis of tokens, and no padded length is 3
    for place, row in enumerate(rows):
        length = len(pairs[row])
        cut = [out[place, :length] if out.shape[1] == width else out[place] for out in outputs]
        found[row] = tuple(_own(out) for out in cut)
    return request


def _own(part: Floats) -> Floats:
    """A copy that does not keep its whole batch alive, and that nobody can change for those who get it next."""
    copy = part.copy()
    copy.setflags(write=False)
    return copy


def _tensors(pairs: Sequence[Pair]) -> dict[str, NDArray[np.int64]]:
    width = padded_length(max(map(len, pairs)))
    ids = np.zeros((len(pairs), width), dtype=np.int64)  # (B, T)
    mask, types = np.zeros_like(ids), np.zeros_like(ids)  # (B, T)
    for place, pair in enumerate(pairs):
        ids[place, : len(pair)] = pair.ids
        mask[place, : len(pair)] = 1
        types[place, pair.second_at : len(pair)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
