"""Keeps a worker process while uploads wait: started when there is work, started again when it dies."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable

import anyio
import anyio.to_thread
import structlog

from ingest.upload_worker import run_worker
from rag.settings import Settings
from rag.store import Store
from rag.types import AnswerableError

log = structlog.get_logger()

_LOOK_S = 2.0
_STOP_S = 8.0


class Workers:
    """The one worker process of a server."""

    def __init__(self, settings: Settings, store: Callable[[], Store]):
        self._settings = settings
        self._store = store
        self._context = multiprocessing.get_context("spawn")  # forking a process with model threads is not safe
        self._process: multiprocessing.process.BaseProcess | None = None
        self._wake = anyio.Event()

    def nudge(self) -> None:
        """There is a new job."""
        self._wake.set()

    async def watch(self) -> None:
        """Start a worker whenever jobs are open and none runs; until cancelled."""
        while True:
            try:
                await anyio.to_thread.run_sync(self._ensure)
            except AnswerableError as error:
                log.warning("jobs cannot be read", error=str(error))
            with anyio.move_on_after(_LOOK_S):
                await self._wake.wait()
            if self._wake.is_set():
                self._wake = anyio.Event()

    def stop(self) -> None:
        """Ask the worker to hand its job back and end; after some seconds, end it."""
        if self._process is None or not self._process.is_alive():
            return
        self._process.terminate()
        self._process.join(_STOP_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ensure(self) -> None:
        if self._process is not None and self._process.is_alive():
            return
        if self._process is not None and self._process.exitcode:
            log.error("worker process ended", exit_code=self._process.exitcode)
        self._process = None
        if self._store().jobs.open():
            self._process = self._context.Process(
                target=run_worker, args=(self._settings, os.getpid()), name="ingest-worker", daemon=True
            )
            self._process.start()
