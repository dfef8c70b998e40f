"""What the routes need: the service behind one application, handed to them by `ServiceDep`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Annotated, TypeVar, cast

import anyio
import anyio.to_thread
import structlog
from anyio.abc import TaskGroup
from fastapi import Depends, Request

from api.errors import Busy, NotReady
from api.work import Generations
from rag.build import build_pipeline, build_search
from rag.pipeline import Pipeline
from rag.settings import Settings
from rag.types import AnswerableError

log = structlog.get_logger()

T = TypeVar("T")
Load = Callable[[Settings], Pipeline]

SEARCHES_AT_ONCE = 4
_SEARCH_S = 1  # after this many seconds a refused search may try again
_RETRY_LOAD_S = 5.0


class Service:
    """One application's models, loaded once, and the ways to work with them off the event loop."""

    def __init__(self, settings: Settings, load: Load, tasks: TaskGroup):
        self.settings = settings
        self.generations = Generations(settings.max_waiting, tasks)
        self._searches = anyio.CapacityLimiter(SEARCHES_AT_ONCE)
        self._load = load
        self._loading = anyio.Lock()
        self._pipeline: Pipeline | None = None
        self._problem: AnswerableError | None = None
        self._tried = -math.inf

    async def pipeline(self) -> Pipeline:
        """The models. Raises NotReady when they cannot be loaded; what was missing may be there at a later call."""
        if self._pipeline is None:
            async with self._loading:
                await self._try_to_load()
        if self._pipeline is None:
            assert self._problem is not None
            raise NotReady(self._problem)
        return self._pipeline

    async def run(self, work: Callable[[], T]) -> T:
        """The result of a short piece of work, such as a search, done in a worker thread. Raises Busy."""
        if self._searches.statistics().tasks_waiting >= self.settings.max_waiting:
            raise Busy(f"too many searches wait already; try again in {_SEARCH_S} s", _SEARCH_S)
        return await anyio.to_thread.run_sync(work, limiter=self._searches)

    def close(self) -> None:
        """Give the database back."""
        if self._pipeline is not None:
            self._pipeline.retriever.store.close()

    async def _try_to_load(self) -> None:
        if self._pipeline is not None or time.monotonic() < self._tried + _RETRY_LOAD_S:
            return
        try:
            self._pipeline = await anyio.to_thread.run_sync(self._load, self.settings)
            self._problem = None
        except AnswerableError as error:
            self._problem = error
            log.error("not ready", code=error.code, error=str(error))
        self._tried = time.monotonic()


def load_pipeline(settings: Settings) -> Pipeline:
    """The parts that the settings name. Raises ModelMissing, ModelBroken, StoreUnavailable, InvalidInput."""
    search = build_search(settings)
    try:
        return build_pipeline(settings, search)
    except AnswerableError:
        search.store.close()
        raise


def get_service(request: Request) -> Service:
    """The service of the application that took the request."""
    return cast(Service, request.app.state.service)


ServiceDep = Annotated[Service, Depends(get_service)]
