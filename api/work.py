"""Answers being made: some at a time, off the event loop, others waiting in a bounded queue, none for who left.

A generation runs in a worker thread and hands its events over through a queue without bound (an answer is small), so a
client who reads slowly delays nobody else. Leaving the queue, or a generation, takes effect at its next event.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.abc import TaskGroup
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from api.errors import Busy, TooLate
from rag.pipeline import Event, StillWriting

Steps = Generator[Event, None, None]

_FIRST_GUESS_S = 3.0  # time of one answer, until one was timed
_MEMORY = 0.8  # weight of the past in the running mean of that time


class Generations:
    """The one place where answers are made: ``at_once`` side by side, while ``max_waiting`` more may wait.

    A request that takes longer than ``limit_s``, waiting included, is stopped.
    """

    def __init__(self, max_waiting: int, tasks: TaskGroup, at_once: int = 1, limit_s: float = math.inf):
        self._max_waiting = max_waiting
        self._tasks = tasks
        self._at_once = at_once
        self._limit_s = limit_s
        self._turn = anyio.CapacityLimiter(at_once)
        self._jobs = 0
        self._mean_s = _FIRST_GUESS_S

    @property
    def jobs(self) -> int:
        """How many requests are answered or wait for it."""
        return self._jobs

    def start(self, steps: Callable[[], Steps], receive: Receive) -> Job:
        """Queue a generation; it ends early when ``receive`` tells that the client left. Raises Busy.

        The caller must close the job.
        """
        waiting = self._jobs - self._at_once
        if waiting >= self._max_waiting:
            wait = max(1, math.ceil(self._mean_s * self._jobs / self._at_once))
            raise Busy(f"{waiting} questions wait already; try again in {wait} s", wait)
        self._jobs += 1
        job = Job(steps, self._limit_s)
        self._tasks.start_soon(self._run, job)
        self._tasks.start_soon(job.watch, receive)
        return job

    async def _run(self, job: Job) -> None:
        try:
            await job.run(self._turn)
        finally:
            self._jobs -= 1
            if job.seconds:
                self._mean_s = _MEMORY * self._mean_s + (1 - _MEMORY) * job.seconds


class Job:
    """One generation: ``next`` gives its events as they come."""

    def __init__(self, steps: Callable[[], Steps], limit_s: float = math.inf):
        self._steps = steps
        self._limit_s = limit_s
        self._running = anyio.CancelScope()
        self._watching = anyio.CancelScope()
        self._put, self._get = anyio.create_memory_object_stream[Event | Exception](math.inf)
        self.seconds = 0.0

    async def next(self) -> Event:
        """The next event. Raises what the generation raised, and ClientDisconnect when it was stopped."""
        try:
            item = await self._get.receive()
        except anyio.EndOfStream:
            raise ClientDisconnect from None
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        """Stop the generation if it still runs, and stop watching the client."""
        self._running.cancel()
        self._watching.cancel()
        self._get.close()

    async def run(self, turn: anyio.CapacityLimiter) -> None:
        """Wait for a turn and make the answer in a worker thread."""
        with self._put, self._running:
            with anyio.move_on_after(self._limit_s) as limit:
                await anyio.to_thread.run_sync(self._work, limiter=turn)
            if limit.cancelled_caught:
                self._put.send_nowait(TooLate(f"no answer within {self._limit_s:g} s; ask again, or ask for less"))

    async def watch(self, receive: Receive) -> None:
        """Stop the generation when the client leaves."""
        with self._watching:
            while (await receive())["type"] != "http.disconnect":
                pass
            self._running.cancel()

    def _work(self) -> None:
        started = time.perf_counter()
        steps = self._steps()
        try:
            for event in steps:
                anyio.from_thread.check_cancelled()
                if not isinstance(event, StillWriting):
                    self._hand_over(event)
        except Exception as error:  # noqa: BLE001 - raised again by next(), in the request's own task
            self._hand_over(error)
        finally:
            steps.close()
            self.seconds = time.perf_counter() - started

    def _hand_over(self, item: Event | Exception) -> None:
        try:
            anyio.from_thread.run_sync(self._put.send_nowait, item)
        except anyio.BrokenResourceError:
            return  # the job was closed between two events: nobody reads on
