"""What ranking models learn from: questions with passages that answer them and that do not (train/mining.py)."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from rag.sentences import sentences
from rag.types import InvalidInput

TRAIN_FILE, DEV_FILE = "train.jsonl", "dev.jsonl"
CLAIMS_FILE = "claims.jsonl"  # by train/claim_groups.py; optional
_SENTENCE_WORDS = 8  # at least, of a sentence that is searched for


@dataclass(frozen=True, slots=True)
class Group:
    """A question with the passages to rank for it, each "title\\ntext" as the encoder reads it.

    ``positive`` is empty for a question that no passage answers; ``negatives`` are passages found by searching,
    ``lacking`` passages on the subject that do not hold the answer; ``altered`` is a question that ``positive`` does
    not answer, or empty. ``told``: whether ``positive`` answers; False where it is merely what the question is about.
    """

    question: str
    positive: str
    negatives: tuple[str, ...]
    lacking: tuple[str, ...] = ()
    altered: str = ""
    source: str = ""
    told: bool = True


def cloze(group: Group, draw: random.Random) -> Group | None:
    """The group asked by a sentence of its passage, taken out of it (inverse cloze task, Lee et al., ACL 2019).

    It teaches that a statement belongs to a passage on the same matter. None where the passage is too short for it.
    """
    heading, _, text = group.positive.partition("\n")
    spans = [(start, end) for start, end in sentences(text) if len(text[start:end].split()) >= _SENTENCE_WORDS]
    if len(spans) < 3 or not group.negatives:
        return None
    start, end = draw.choice(spans)
    rest = passage_text(heading, f"{text[:start].rstrip()} {text[end:].lstrip()}".strip())
    return Group(text[start:end].rstrip(" ."), rest, group.negatives, told=False, source=group.source)


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
