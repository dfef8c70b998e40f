"""Text to unit vectors. Placeholder header: the Encoder protocol; implementations follow in this file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Encoder(Protocol):
    """Maps texts to unit vectors whose inner product is their cosine similarity."""

    name: str
    fingerprint: str  # first 12 hex digits over weights and settings that change the vectors
    dimension: int
    max_tokens: int  # longer texts are cut

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of ``texts``, shape (N, dimension), float32, unit rows; (0, dimension) for no texts."""
        ...
