"""What the encoder reads of a document, and its vectors: the same in one process and on many nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ingest.sandbox import Parsed
from rag.encode import Encoder

_AT_ONCE = 2048  # chunks of one document that are encoded in one call; bounds the memory of a very long one


def headed(parsed: Parsed) -> Parsed:
    """The document with each chunk headed by the title and its heading path, which give it its subject."""
    title = parsed.document.title
    return replace(parsed, parts=tuple(replace(part, heading=_heading(title, part.heading)) for part in parsed.parts))


def embed(encoder: Encoder, documents: Sequence[Parsed]) -> NDArray[np.float32]:
    """Vectors of all parts of headed documents, shape (N, D): of heading and text, though only text is cited."""
    texts = [f"{part.heading}\n{part.text}" for one in documents for part in one.parts]
    parts = [encoder.encode(texts[at : at + _AT_ONCE]) for at in range(0, len(texts), _AT_ONCE)]
    return np.concatenate(parts) if parts else np.zeros((0, encoder.dimension), dtype=np.float32)


def _heading(title: str, path: str) -> str:
    return " > ".join(dict.fromkeys(part for part in (title, path) if part))
