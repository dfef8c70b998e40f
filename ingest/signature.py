"""The MinHash signature of a text, by which documents that are nearly the same are found (rag/store/similar.py).

Shingles are runs of five words in lower case, so that layout, case and punctuation do not count. Broder 1997, "On the
resemblance and containment of documents"; the permutations are multiply-shift hashes with odd multipliers from a fixed
seed, so that signatures of different runs compare.
"""

from __future__ import annotations

import re
import zlib

import numpy as np
from numpy.typing import NDArray

PLACES = 64
_SHINGLE = 5  # words
_LEAST_WORDS = 20  # below, a document is too short to be told from a form letter
_AT_ONCE = 50_000  # shingles; bounds the memory to PLACES * 8 bytes times this
_WORD = re.compile(r"\w+")
_SEED = 20_261_125


def signature(text: str) -> bytes:
    """``PLACES`` minima as little-endian uint32; empty for a text of fewer than 20 words."""
    known: dict[str, int] = {}
    hashes = np.array([_hash(word, known) for word in _WORD.findall(text.lower())], dtype=np.uint64)  # (W,)
    if len(hashes) < _LEAST_WORDS:
        return b""
    shingles = np.zeros(len(hashes) - _SHINGLE + 1, dtype=np.uint64)  # (S,)
    for place in range(_SHINGLE):
        shingles = shingles * np.uint64(0x9E3779B97F4A7C15) + hashes[place : place + len(shingles)]
    shingles = np.unique(shingles)
    multipliers, offsets = _permutations()  # (P, 1) each
    least = np.full(PLACES, np.iinfo(np.uint64).max, dtype=np.uint64)
    for first in range(0, len(shingles), _AT_ONCE):
        mixed = multipliers * shingles[first : first + _AT_ONCE] + offsets  # (P, S)
        least = np.minimum(least, (mixed ^ (mixed >> np.uint64(29))).min(axis=1))
    return bytes((least >> np.uint64(32)).astype("<u4").tobytes())


def _hash(word: str, known: dict[str, int]) -> int:
    found = known.get(word)
    if found is None:
        data = word.encode()
        found = known[word] = zlib.crc32(data) << 32 | zlib.adler32(data)
    return found


def _permutations() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    numbers = np.random.default_rng(_SEED)
    multipliers = numbers.integers(1, 2**63, size=(PLACES, 1), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    return multipliers, numbers.integers(0, 2**63, size=(PLACES, 1), dtype=np.uint64)
