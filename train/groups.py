"""What ranking models learn from: questions with passages that answer them and that do not (train/mining.py)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rag.types import InvalidInput

TRAIN_FILE, DEV_FILE = "train.jsonl", "dev.jsonl"


@dataclass(frozen=True, slots=True)
class Group:
    """A question with the passages to rank for it, each "title\\ntext" as the encoder reads it.

    ``positive`` is empty for a question that no passage answers; ``negatives`` are passages found by searching,
    ``lacking`` passages on the subject that do not hold the answer; ``altered`` is a question that ``positive`` does
    not answer, or empty.
    """

    question: str
    positive: str
    negatives: tuple[str, ...]
    lacking: tuple[str, ...] = ()
    altered: str = ""
    source: str = ""


def passage_text(heading: str, text: str) -> str:
    """A passage as encoder and reranker read it."""
    return f"{heading}\n{text}"


def read_groups(path: Path) -> list[Group]:
    """The groups of a file that `mine` wrote. Raises InvalidInput for anything else."""
    groups = []
    try:
        for line in path.read_text("utf-8").splitlines():
            fields = json.loads(line)
            lists = {name: tuple(fields[name]) for name in ("negatives", "lacking")}
            groups.append(Group(**(fields | lists)))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InvalidInput(f"{path}: no mined groups ({error}); make them with: python -m train.mining") from error
    return groups
