"""Rows of tokens through a graph on the CPU: batches of one length, several side by side, and no row twice.

Each row is padded to a multiple of 16 of its own length, never to its neighbours', so what comes out for a row depends
on that row alone, to the last digit. That allows two things. Rows of several threads that wait share batches: larger
ones, and fewer, the more there is to do. And what was computed for an equal row is given again: one answer has its
passages read up to three times for the same question, and people ask the same questions.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.encode import BATCH_TOKENS, padded_length
from rag.pair_tokens import Pair
from rag.types import ModelBroken

KEPT = 2048  # rows whose outputs are remembered, some 4 kB each

Floats = NDArray[np.float32]
Outputs = tuple[Floats, ...]
_Key = bytes


@dataclass(slots=True, eq=False)
class _Call:
    """The rows that one thread waits for."""

    found: list[Outputs]
    left: int
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    """A row that waits; ``number`` counts all rows in order of arrival, ``place`` those of the call."""

    number: int
    call: _Call
    place: int
    pair: Pair


class RowRunner:
    """Runs pairs through ``compiled``, ``streams`` batches side by side. Safe to call from any number of threads.

    There is no thread of its own: whoever waits for rows starts the batches that come next, the oldest row first, be
    they its own or another's.
    """

    def __init__(self, compiled: Any, streams: int, kept: int = KEPT) -> None:
        self._compiled = compiled
        self._idle: SimpleQueue[Any] = SimpleQueue()
        self._memory = _Memory(kept)
        self._changed = threading.Condition()
        self._streams = streams
        self._open = streams  # batches that may still be started; this and what follows only under the condition
        self._waiting: dict[int, deque[_Row]] = {}  # by padded length
        self._numbers = itertools.count()

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
        call = _Call([()] * len(pairs), len(pairs))
        with self._changed:
            for place, pair in enumerate(pairs):
                same = self._waiting.setdefault(padded_length(len(pair)), deque())
                same.append(_Row(next(self._numbers), call, place, pair))
        running: deque[tuple[Any, list[_Row]]] = deque()
        try:
            while call.left:
                while call.left and (rows := self._take()):
                    self._start(rows, running)
                if running:
                    self._finish(*running.popleft())
                else:
                    with self._changed:
                        self._changed.wait_for(lambda: not call.left or (self._open and self._waiting))
        finally:
            while running:  # another's rows, or an interrupted call's: somebody may wait for them
                self._finish(*running.popleft())
        if call.error is not None:
            raise call.error
        return call.found

    def _take(self) -> list[_Row]:
        """The next batch, none where nothing waits or all streams are busy."""
        with self._changed:
            if not self._open or not self._waiting:
                return []
            self._open -= 1
            width = min(self._waiting, key=lambda width: self._waiting[width][0].number)
            same = self._waiting[width]
            rows = [same.popleft() for _ in range(_batch_rows(-(-len(same) // self._streams), width))]
            if not same:
                del self._waiting[width]
            return rows

    def _start(self, rows: list[_Row], running: deque[tuple[Any, list[_Row]]]) -> None:
        try:
            request = self._free()
            request.start_async(_tensors([row.pair for row in rows]))
        except Exception as error:  # noqa: BLE001 - raised again in every call that has a row here
            self._settle(rows, (), error)
        else:
            running.append((request, rows))

    def _finish(self, request: Any, rows: list[_Row]) -> None:
        """Wait for the request, and hand its results, or what went wrong, to the calls of its rows."""
        try:
            request.wait()
            results = _results(request, [row.pair for row in rows])
        except Exception as error:  # noqa: BLE001 - raised again in every call that has a row here
            self._settle(rows, (), error)
        else:
            self._idle.put(request)
            self._settle(rows, results, None)

    def _settle(self, rows: list[_Row], results: Sequence[Outputs], error: Exception | None) -> None:
        with self._changed:
            for place, row in enumerate(rows):
                if error is None:
                    row.call.found[row.place] = results[place]
                row.call.error = row.call.error or error
                row.call.left -= 1
            self._open += 1
            self._changed.notify_all()

    def _free(self) -> Any:
        try:
            return self._idle.get_nowait()
        except Empty:
            return self._compiled.create_infer_request()


def _batch_rows(share: int, width: int) -> int:
    """Rows of the next batch, of this stream's share of those that wait: a power of two, for the plugin keeps memory
    for each shape that it has run."""
    most = min(share, max(1, BATCH_TOKENS // width))
    return int(1 << (most.bit_length() - 1))


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


def _results(request: Any, pairs: Sequence[Pair]) -> list[Outputs]:
    """What a request that has ended gave for each of its pairs. Raises ModelBroken."""
    outputs = [np.array(request.get_output_tensor(place).data) for place in range(len(request.model_outputs))]
    if not all(np.isfinite(output).all() for output in outputs):
        raise ModelBroken("the model gave numbers that are none; remove its folder and run: answerable models pull")
    width = padded_length(len(pairs[0]))  # labels (B, 3) have no axis of tokens, and no padded length is 3
    return [
        tuple(_own(out[row, : len(pair)] if out.shape[1] == width else out[row]) for out in outputs)
        for row, pair in enumerate(pairs)
    ]


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
