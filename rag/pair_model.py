"""Runs a trained pair encoder (lm/pair_encoder.py) through OpenVINO: int8, many pairs at once, on the CPU.

A folder of HOME/models that holds one is pair.json (PairCard), openvino_model.xml and .bin, and tokenizer.json.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rag.encode import IR_FILE, TOKENIZER_FILE, compile_int8, sha256_of
from rag.pair_tokens import Pair, PairTokenizer
from rag.rows import Floats, RowRunner
from rag.types import ModelBroken, ModelMissing

CARD_FILE = "pair.json"
PAIR_WEIGHTS = "weights.safetensors"  # as shipped in models/; the graph is made of it at pull time
GRAPH_FILES = (IR_FILE, str(Path(IR_FILE).with_suffix(".bin")), TOKENIZER_FILE)


@dataclass(frozen=True, slots=True)
class PairCard:
    """What a model folder says of itself: its head, the most tokens of a row, and numbers fitted after training.

    ``calibration`` holds what the head's user fitted (temperatures, biases). ``hashes`` are of the files it runs on;
    empty as shipped in models/, filled in when the graph is made.
    """

    name: str
    head: str
    max_tokens: int
    calibration: dict[str, float] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> PairCard:
        """Raises ModelMissing without the file, ModelBroken when it cannot be understood."""
        path = folder / CARD_FILE
        try:
            card = cls(**json.loads(path.read_text("utf-8")))
            numbers = [float(value) for value in card.calibration.values()]
        except FileNotFoundError:
            raise ModelMissing(f"{folder} holds no pair encoder ({CARD_FILE} is missing)") from None
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ModelBroken(f"{path} cannot be read ({error}); run: answerable models pull") from error
        if not all(np.isfinite(numbers)):
            raise ModelBroken(f"{path}: calibration {card.calibration} must be finite numbers; fit it again")
        return card

    def fingerprint(self) -> str:
        """12 hex digits over the graph, its tokenizer and the calibration."""
        parts = [*(self.hashes[name] for name in GRAPH_FILES), json.dumps(self.calibration, sort_keys=True)]
        return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]


class PairModel:
    """The graph of a folder, compiled. Safe to call from several threads. ``threads``: 0 for all cores."""

    def __init__(self, folder: Path, head: str, threads: int = 0) -> None:
        self.card = PairCard.read(folder)
        if self.card.head != head:
            raise ModelBroken(f"{folder / CARD_FILE} is of a {self.card.head!r} model, not of a {head!r} one")
        for name in GRAPH_FILES:
            try:
                found = sha256_of(folder / name)
            except OSError as error:
                raise ModelBroken(f"{folder / name} cannot be read ({error}); run: answerable models pull") from error
            if found != self.card.hashes.get(name):
                raise ModelBroken(f"{folder / name} was altered; remove the folder and run: answerable models pull")
        self.tokenizer = PairTokenizer(folder / TOKENIZER_FILE)
        self.fingerprint = self.card.fingerprint()
        streams = threads or len(os.sched_getaffinity(0))
        self._rows = RowRunner(compile_int8(folder / IR_FILE, streams), streams)

    def run(self, pairs: Sequence[Pair]) -> list[tuple[Floats, ...]]:
        """For each pair the outputs of its head, as in lm/export_pair.py without B; token axes cut to the pair."""
        return self._rows.run(pairs)
