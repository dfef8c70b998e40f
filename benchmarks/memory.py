"""Resident memory of a process, as benchmarks read it. Linux only."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np


def resident(pid: int) -> int:
    """Bytes. Raises OSError for a process that has ended."""
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Memory:
    """A process's resident memory, looked at each second: single looks differ by what is being answered just then."""

    def __init__(self, pid: int):
        self._pid = pid
        self._looks: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def row(self) -> dict[str, float]:
        """Mean of all looks and the last one, in MB; nothing without a process."""
        if not self._looks:
            return {}
        return {"rss_mb_mean": round(float(np.mean(self._looks)), 1), "rss_mb_end": round(self._looks[-1], 1)}

    def _watch(self) -> None:
        while self._pid:  # 0: none is told
            self._looks.append(resident(self._pid) / 1e6)
            if self._stop.wait(1):
                self._looks.append(resident(self._pid) / 1e6)
                return
