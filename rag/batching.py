"""Answers of several threads written side by side: a step of the decoder reads its weights once for all of them.

Requests that come while a batch is written wait for the next one; a request that is alone is written as it always was.
Prompts of like length go best together, and a question's prompt is nearly always as long as the budget of passages, so
batches are formed in order of arrival.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

import numpy as np
from numpy.typing import NDArray

from lm.batch import decode_batch
from lm.decode import Choose, Gate, Limits, Step, check_prompt, choose_greedily
from lm.engine import Engine

Alone = Callable[[Sequence[int], int, Gate], Iterator[Step]]

_GATHER_S = 0.004  # how long the first of a batch waits for others
_IDLE_S = 5.0  # after this time without work the thread ends; the next request starts another


@dataclass(slots=True)
class _Request:
    """One answer to be written; steps, then None or what went wrong, come through ``out``."""

    prompt: Sequence[int]
    max_new_tokens: int
    gate: Gate
    out: SimpleQueue[Step | Exception | None] = field(default_factory=SimpleQueue)
    gone: bool = False  # its reader left: it leaves the batch at the next step


class Batcher:
    """Writes at most ``size`` answers at a time, in one thread of its own. Safe to call from any number of threads."""

    def __init__(self, engine: Engine, stop_ids: frozenset[int], alone: Alone, size: int):
        self._engine = engine
        self._stop_ids = stop_ids
        self._alone = alone
        self._size = size
        self._inbox: SimpleQueue[_Request] = SimpleQueue()
        self._lock = threading.Lock()
        self._running = False

    def steps(self, prompt: Sequence[int], max_new_tokens: int, gate: Gate) -> Iterator[Step]:
        """What `lm.decode.greedy` writes; closing the iterator ends the work. Raises as greedy does, in this call."""
        check_prompt(self._engine, prompt, max_new_tokens)
        return self._read(_Request(prompt, max_new_tokens, gate))

    def _read(self, request: _Request) -> Iterator[Step]:
        with self._lock:
            self._inbox.put(request)
            if not self._running:
                self._running = True
                threading.Thread(target=self._work, name="batcher", daemon=True).start()
        try:
            while (item := request.out.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            request.gone = True

    def _work(self) -> None:
        while True:
            try:
                batch = self._gather(self._inbox.get(timeout=_IDLE_S))
            except Empty:
                with self._lock:  # a request may have come between the two: then there is work after all
                    if self._inbox.empty():
                        self._running = False
                        return
                continue
            self._write([request for request in batch if not request.gone])

    def _gather(self, first: _Request) -> list[_Request]:
        batch, until = [first], time.monotonic() + _GATHER_S
        while len(batch) < self._size:
            try:
                batch.append(self._inbox.get(timeout=max(0.0, until - time.monotonic())))
            except Empty:
                break
        return batch

    def _write(self, batch: list[_Request]) -> None:
        try:
            for place, step in self._steps(batch):
                batch[place].out.put(step)
        except Exception as error:  # noqa: BLE001 - raised again where each answer is read
            for request in batch:
                request.out.put(error)
        for request in batch:
            request.out.put(None)

    def _steps(self, batch: list[_Request]) -> Iterator[tuple[int, Step]]:
        if len(batch) == 1:
            (only,) = batch
            for step in self._alone(only.prompt, only.max_new_tokens, only.gate):
                if only.gone:
                    return
                yield 0, step
        elif batch:
            prompts = [request.prompt for request in batch]
            limits = Limits(max(request.max_new_tokens for request in batch), self._stop_ids)
            yield from decode_batch(self._engine, prompts, limits, [self._choose(request) for request in batch])

    def _choose(self, request: _Request) -> Choose:
        """Greedy choice, and a stop as soon as the answer has its length or nobody reads it any more."""
        greedy = choose_greedily(self._engine, request.gate)
        end = Step(next(iter(self._stop_ids)), 1.0)
        limit = len(request.prompt) + request.max_new_tokens

        def choose(logits: NDArray[np.float32], tokens: Sequence[int]) -> Step:
            return end if request.gone or len(tokens) >= limit else greedy(logits, tokens)

        return choose
