"""The heap of a process of its own: the library's settings hold until a process ends."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no such settings")

# Twelve threads that are alive at once and each hold something of the heap; prints how many heaps there are.
HEAPS = """
import ctypes, sys, threading
from lm.heap import keep_heap_small

if "kept" in sys.argv:
    keep_heap_small()
together = threading.Barrier(12)
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype = ctypes.c_void_p

def work():
    libc.malloc(100_000)
    together.wait()

threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
print(open(sys.argv[1]).read().count("<heap nr="))
"""

# Holes between small buffers that stay; prints the resident kilobytes before and after the trim.
HOLES = """
from lm.heap import trim_heap

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4

buffers = [b"x" * 60_000 for _ in range(4000)]
buffers = buffers[::8]
before = resident()
trim_heap()
print(before, resident())
"""


def run(code: str, *arguments: str) -> list[int]:
    """What ``code`` printed."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_threads_share_two_heaps(tmp_path: Path) -> None:
    (left_alone,) = run(HEAPS, str(tmp_path / "info.xml"))
    (kept,) = run(HEAPS, str(tmp_path / "info.xml"), "kept")
    assert kept <= 2 < left_alone


def test_trimming_gives_holes_back() -> None:
    before, after = run(HOLES)
    assert before - after > 150_000  # of the 210 MB freed
