from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any

import anyio
import anyio.to_thread
import pytest
from starlette.requests import ClientDisconnect

from api.errors import Busy
from api.work import Generations, Job
from rag.pipeline import Event, TextWritten


async def stays() -> Any:
    await anyio.sleep_forever()
    raise AssertionError("never ends")


async def everything(job: Job) -> list[str]:
    written = []
    with pytest.raises(ClientDisconnect):  # what next() raises once there is no more
        while True:
            event = await job.next()
            assert isinstance(event, TextWritten)
            written.append(event.text)
    job.close()
    return written


def three_words() -> Generator[Event, None, None]:
    for word in ("one", "two", "three"):
        yield TextWritten(word)


def test_events_arrive_in_order_and_each_job_gets_its_own() -> None:
    async def scenario() -> None:
        async with anyio.create_task_group() as tasks:
            generations = Generations(5, tasks)
            jobs = [generations.start(three_words, stays) for _ in range(3)]
            assert [await everything(job) for job in jobs] == [["one", "two", "three"]] * 3

    anyio.run(scenario)


def test_a_reader_who_never_reads_does_not_hold_up_the_next_one() -> None:
    """The generator waited for the slow reader's socket when events went straight into the response."""

    async def scenario() -> list[str]:
        async with anyio.create_task_group() as tasks:
            generations = Generations(5, tasks)
            unread = generations.start(three_words, stays)
            with anyio.fail_after(10):
                written = await everything(generations.start(three_words, stays))
            unread.close()
        return written

    assert anyio.run(scenario) == ["one", "two", "three"]


def test_who_leaves_the_queue_makes_room_at_once() -> None:
    go, started = threading.Event(), threading.Event()
    begun = []

    def held() -> Generator[Event, None, None]:
        started.set()
        assert go.wait(20)
        yield TextWritten("done")

    def waiting() -> Generator[Event, None, None]:
        begun.append(1)
        yield TextWritten("never asked for")

    async def scenario() -> None:
        gone = anyio.Event()

        async def leaves() -> Any:
            await gone.wait()
            return {"type": "http.disconnect"}

        async with anyio.create_task_group() as tasks:
            generations = Generations(1, tasks)
            first = generations.start(held, stays)
            await anyio.to_thread.run_sync(started.wait)
            second = generations.start(waiting, leaves)
            with pytest.raises(Busy, match="1 questions wait already"):
                generations.start(waiting, stays)
            gone.set()
            with pytest.raises(ClientDisconnect):
                await second.next()
            third = generations.start(three_words, stays)  # Busy, if the one who left still had a place
            go.set()
            assert await everything(third) == ["one", "two", "three"]
            first.close()
            second.close()

    anyio.run(scenario)
    assert begun == []


def test_closing_a_job_closes_its_steps() -> None:
    closed = threading.Event()

    def endless() -> Generator[Event, None, None]:
        try:
            while True:
                yield TextWritten("more")
        finally:
            closed.set()

    async def scenario() -> None:
        async with anyio.create_task_group() as tasks:
            job = Generations(1, tasks).start(endless, stays)
            await job.next()
            job.close()

    anyio.run(scenario)
    assert closed.is_set()


def test_stopping_the_server_stops_a_generation() -> None:
    async def scenario() -> None:
        def endless() -> Generator[Event, None, None]:
            while True:
                yield TextWritten("more")

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                job = Generations(1, tasks).start(endless, stays)
                await job.next()
                tasks.cancel_scope.cancel()
        job.close()

    anyio.run(scenario)


def test_an_exception_of_the_steps_is_raised_by_next() -> None:
    def broken() -> Generator[Event, None, None]:
        yield TextWritten("one")
        raise KeyError("two")

    async def scenario() -> None:
        async with anyio.create_task_group() as tasks:
            job = Generations(1, tasks).start(broken, stays)
            assert await job.next() == TextWritten("one")
            with pytest.raises(KeyError, match="two"):
                await job.next()
            job.close()

    anyio.run(scenario)
