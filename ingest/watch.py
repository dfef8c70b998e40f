"""Following folders: what is new, changed, renamed or gone under them goes in or out a few seconds later.

By looking, not by the kernel's notices: these miss changes on network drives and in containers, and a listing of
3,000 files takes a few hundredths of a second. What is listed is only asked for its size and time; an ingest reads.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog

from ingest.discover import discover
from ingest.run import Ingester, IngestReport
from rag.types import InvalidInput, StoreUnavailable

log = structlog.get_logger()

EVERY = 1.0  # seconds between two looks

Listing = dict[str, tuple[int, int, int]]  # path -> size, time of change (ns), inode


def watch(
    ingester: Ingester,
    paths: Sequence[Path],
    collection: str,
    stop: threading.Event | None = None,
    every: float = EVERY,
) -> Iterator[IngestReport]:
    """A first ingest of ``paths`` and one after each change, until ``stop`` is set; removes what is gone.

    A change is acted on when a second look finds the same, so a file that is being copied is read once, whole. Raises
    InvalidInput when a path is not there at the start; one that vanishes later is waited for.
    """
    stop = stop or threading.Event()
    done: Listing | None = None
    before = _listing(paths)
    yield ingester.ingest_paths(paths, collection, prune=True)
    done = before
    while not stop.wait(every):
        now = _listing(paths)
        if now != before or now == done:
            before = now
            continue
        started = time.monotonic()
        try:
            report = ingester.ingest_paths([path for path in paths if os.path.lexists(path)], collection, prune=True)
        except (StoreUnavailable, InvalidInput) as error:  # a full disk or a locked database may pass
            log.warning("ingest put off", reason=str(error))
            stop.wait(max(every, time.monotonic() - started))
            continue
        done = now
        yield report


def _listing(paths: Sequence[Path]) -> Listing:
    """Every file that an ingest would look at, as the file system describes it."""
    listing: Listing = {}
    for found in discover([path for path in paths if os.path.lexists(path)]):
        try:
            status = found.path.stat()
        except OSError:
            continue
        listing[found.uri] = (status.st_size, status.st_mtime_ns, status.st_ino)
    return listing
