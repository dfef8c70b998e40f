"""The C library's heap, kept small in a process that answers for days. Another library than glibc is left as it is.

Buffers' sizes go with the lengths of prompts. On the heap they leave holes that the next ones do not fit in, and a
process that answers questions of all lengths would go on growing.
"""

from __future__ import annotations

import contextlib
import ctypes
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of malloc.h
_LARGE = 1 << 20  # bytes; left to itself the library raises its limits to 32 MB
_HEAPS = 2  # the process's first, and one for its other threads; left to itself up to eight a core, each with holes


def keep_heap_small() -> None:
    """Map large buffers by themselves, give back what is free at a heap's end, and make no more than two heaps.

    rag/build.py calls it before the models' threads run: a heap once made is used on.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(_MMAP_THRESHOLD, _LARGE)
        libc.mallopt(_TRIM_THRESHOLD, _LARGE)
        libc.mallopt(_ARENA_MAX, _HEAPS)


def trim_heap() -> None:
    """Give back what is free in the middle of the heaps, too."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> Any:
    with contextlib.suppress(OSError):
        libc = ctypes.CDLL("libc.so.6")
        if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim"):
            return libc
    return None
