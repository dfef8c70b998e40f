"""What the routes need: the service behind one application, and who asks, handed to them as parameters."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, cast

import anyio
import anyio.to_thread
import structlog
from anyio.abc import TaskGroup
from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.access import Caller
from api.errors import Busy, NotReady
from api.metrics import Metrics
from api.work import Generations
from api.worker import Workers
from rag.build import build_pipeline, build_search, build_store
from rag.pipeline import Pipeline
from rag.remote import RemoteGenerator
from rag.settings import Settings
from rag.store import Store
from rag.types import AnswerableError

log = structlog.get_logger()

T = TypeVar("T")
Load = Callable[[Settings], Pipeline]

SEARCHES_AT_ONCE = 4
_SEARCH_S = 1  # after this many seconds a refused search may try again
_RETRY_LOAD_S = 5.0


class Rows:
    """The database of one application, opened when it is first needed and tried again while it cannot be."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._lock = threading.Lock()
        self._store: Store | None = None

    def __call__(self) -> Store:
        """The open database. Raises StoreUnavailable."""
        with self._lock:
            if self._store is None:
                self._store = build_store(self._settings)
            return self._store

    def close(self) -> None:
        """Give all connections back."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None


class Service:
    """One application's models, loaded once, and the ways to work with them off the event loop."""

    def __init__(self, settings: Settings, load: Load, tasks: TaskGroup, rows: Rows, metrics: Metrics):
        self.settings = settings
        self.metrics = metrics
        self.generations = Generations(settings.max_waiting, tasks, settings.at_once, settings.timeout_s)
        self.workers = Workers(settings, rows)
        self._rows = rows
        self._searches = anyio.CapacityLimiter(SEARCHES_AT_ONCE)
        self._load = load
        self._loading = anyio.Lock()
        self._pipeline: Pipeline | None = None
        self._problem: AnswerableError | None = None
        self._tried = -math.inf
        metrics.gauge("answerable_jobs_open", "Uploads waiting or running", self._open_jobs)
        metrics.gauge("answerable_questions", "Questions answered or waiting", lambda: float(self.generations.jobs))

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

    async def rows(self, work: Callable[[Store], T]) -> T:
        """The result of reading or writing rows, done in a worker thread. Raises StoreUnavailable."""
        return await anyio.to_thread.run_sync(lambda: work(self._rows()))

    def _open_jobs(self) -> float:
        try:
            return float(self._rows().jobs.open())
        except AnswerableError:
            return math.nan  # the other figures are wanted all the more while the database is away

    def close(self) -> None:
        """Stop the worker and give the database back."""
        self.workers.stop()
        if self._pipeline is not None:
            self._pipeline.retriever.store.close()
        self._rows.close()

    async def _try_to_load(self) -> None:
        if self._pipeline is not None or time.monotonic() < self._tried + _RETRY_LOAD_S:
            return
        try:
            self._pipeline = await anyio.to_thread.run_sync(self._load, self.settings)
            self._problem = None
            if isinstance(self._pipeline.generator, RemoteGenerator):
                self.metrics.remote(self._pipeline.generator.state)
        except AnswerableError as error:
            self._problem = error
            log.error("not ready", code=error.code, error=str(error))
        self._tried = time.monotonic()


def load_pipeline(settings: Settings) -> Pipeline:
    """The parts that the settings name. Raises ModelMissing, ModelBroken, StoreUnavailable, InvalidInput."""
    search = build_search(settings)
    try:
        return build_pipeline(settings, search, settings.at_once)
    except AnswerableError:
        search.store.close()
        raise


def get_service(request: Request) -> Service:
    """The service of the application that took the request."""
    return cast(Service, request.app.state.service)


ServiceDep = Annotated[Service, Depends(get_service)]

_bearer = HTTPBearer(auto_error=False, description="an access key, made with: answerable keys create")


def _caller(role: str) -> Any:
    def get_caller(
        request: Request,
        _credentials: Annotated[
            HTTPAuthorizationCredentials | None, Security(_bearer)
        ],  # for /docs; api/access.py reads
    ) -> Caller:
        caller = cast(Caller, request.state.caller)
        caller.require(role)
        return caller

    return Depends(get_caller)


Reader = Annotated[Caller, _caller("read")]
Writer = Annotated[Caller, _caller("write")]
Admin = Annotated[Caller, _caller("admin")]
