"""A circuit breaker: after failures in a row a server is left alone for a while, then tried by one call at a time.

closed      calls go through
open        calls fail at once, for ``open_s`` seconds after the last failure
half-open   one call goes through; its end closes the breaker or opens it again
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

CLOSED, HALF_OPEN, OPEN = "closed", "half-open", "open"


class Breaker:
    """Counts failures in a row over all threads. ``now`` is a clock in seconds."""

    def __init__(self, after: int, open_s: float, now: Callable[[], float] = time.monotonic):
        self._after = after
        self._open_s = open_s
        self._now = now
        self._lock = threading.Lock()
        self._failures = 0
        self._until = 0.0
        self._trying = False

    @property
    def state(self) -> str:
        """CLOSED, HALF_OPEN or OPEN."""
        with self._lock:
            return self._state()

    def enter(self) -> float:
        """0 to go ahead, and then `succeeded`, `failed` or `left` must follow; else the seconds to wait."""
        with self._lock:
            state = self._state()
            if state == CLOSED:
                return 0.0
            if state == HALF_OPEN and not self._trying:
                self._trying = True
                return 0.0
            return max(self._until - self._now(), 1.0)

    def succeeded(self) -> None:
        """The call got what it asked for."""
        with self._lock:
            self._failures, self._trying = 0, False

    def failed(self) -> None:
        """The server did not do its part."""
        with self._lock:
            self._failures += 1
            self._trying = False
            self._until = self._now() + self._open_s

    def left(self) -> None:
        """The call was given up before anything could be said of the server."""
        with self._lock:
            self._trying = False

    def _state(self) -> str:
        if self._failures < self._after:
            return CLOSED
        return OPEN if self._now() < self._until else HALF_OPEN
