"""Groups of examples as token rows, and rows as batches of about equal length within a token budget.

A group's prompts differ only from the question on, so their common tokens stand once in a row and the rest of each
follows as a branch (train/forward.py). Each prompt, taken by itself, is token for token what rag/prompt.py and
lm/tokenizer.py make of it when answering.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lm.tokenizer import Message, Tokenizer
from rag.prompt import build_prompt
from train.forward import PADDING, PREFIX, Batch
from train.recipes import Example, Group

PASSAGE_TOKENS = 900  # as in rag/pipeline.py
_POOL = 256  # rows sorted by length together: enough for little padding, few enough to keep the order random


@dataclass(frozen=True, slots=True)
class Tokens:
    """A prompt, and the answer to learn with its end of turn."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A packed group. ``positions`` and ``branches`` go with ``ids``; ``learnt`` are (place, target, weight)."""

    ids: tuple[int, ...]
    positions: tuple[int, ...]
    branches: tuple[int, ...]
    learnt: tuple[tuple[int, int, float], ...]
    examples: int


def save_rows(rows: Sequence[Row], path: Path) -> None:
    """Write rows to one compressed file, through one beside it. Raises OSError for a full disk."""
    learnt = [one for row in rows for one in row.learnt]
    arrays: dict[str, Any] = {
        "ids": np.array([id for row in rows for id in row.ids], dtype=np.uint16),
        "positions": np.array([place for row in rows for place in row.positions], dtype=np.uint16),
        "branches": np.array([branch for row in rows for branch in row.branches], dtype=np.int16),
        "lengths": np.array([len(row.ids) for row in rows], dtype=np.int32),
        "places": np.array([place for place, _, _ in learnt], dtype=np.uint16),
        "targets": np.array([target for _, target, _ in learnt], dtype=np.uint16),
        "weights": np.array([weight for _, _, weight in learnt], dtype=np.float32),
        "learnt": np.array([len(row.learnt) for row in rows], dtype=np.int32),
        "examples": np.array([row.examples for row in rows], dtype=np.int32),
    }
    unfinished = path.with_name(path.name + ".part")
    try:
        with unfinished.open("wb") as file:
            np.savez_compressed(file, **arrays)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def load_rows(path: Path) -> list[Row]:
    """What `save_rows` wrote. Raises OSError, ValueError, KeyError or BadZipFile for anything else."""
    with np.load(path, allow_pickle=False) as file:
        found = {name: file[name].tolist() for name in file.files}
    rows, first, taught = [], 0, 0
    for length, learnt, examples in zip(found["lengths"], found["learnt"], found["examples"], strict=True):
        of_row, of_learnt = slice(first, first + length), slice(taught, taught + learnt)
        ids, positions, branches = (tuple(found[name][of_row]) for name in ("ids", "positions", "branches"))
        told = (found[name][of_learnt] for name in ("places", "targets", "weights"))
        rows.append(Row(ids, positions, branches, tuple(zip(*told, strict=True)), examples))
        first, taught = first + length, taught + learnt
    return rows


def tokens_of(example: Example, tokenizer: Tokenizer) -> Tokens:
    """The ids of an example, prompt and answer, as in answering."""
    prompt = build_prompt(example.question, example.passages, PASSAGE_TOKENS, counter(tokenizer))
    return Tokens(tuple(tokenizer.chat(prompt.messages)), (*tokenizer.encode(example.answer), turn_end(tokenizer)))


def turn_end(tokenizer: Tokenizer) -> int:
    """The stop id that ends a turn: the one of the stop ids that chat prompts contain."""
    return min(tokenizer.stop_ids & set(tokenizer.chat([Message("user", "")])))


def counter(tokenizer: Tokenizer) -> Callable[[Sequence[str]], list[int]]:
    """What `build_prompt` counts tokens with."""
    return lambda texts: [tokenizer.count(text) for text in texts]


def pack(group: Sequence[Tokens]) -> Row:
    """One row of the group: common beginning once, then each question with its answer.

    An answer's tokens weigh 1 / sqrt(their number): long answers count more than short ones, but not in proportion.
    """
    shared = _common(group)
    ids, positions = list(group[0].prompt[:shared]), list(range(shared))
    branches = [PREFIX] * shared
    learnt: list[tuple[int, int, float]] = []
    for branch, tokens in enumerate(group, start=1):
        start = len(ids) - shared
        own = (*tokens.prompt, *tokens.answer[:-1])
        first = start + len(tokens.prompt) - 1
        weight = len(tokens.answer) ** -0.5
        learnt += [(first + offset, target, weight) for offset, target in enumerate(tokens.answer)]
        ids += own[shared:]
        positions += range(shared, len(own))
        branches += [branch] * (len(own) - shared)
    return Row(tuple(ids), tuple(positions), tuple(branches), tuple(learnt), len(group))


def pack_groups(groups: Sequence[Group], tokenizer: Tokenizer, longest: int) -> Iterator[Row]:
    """The rows of ``groups``, in order; one that comes to more than ``longest`` tokens loses its last questions."""
    for group in groups:
        tokens = [tokens_of(example, tokenizer) for example in group]
        while tokens and len((row := pack(tokens)).ids) > longest:
            tokens.pop()
        if tokens:
            yield row


def batch_order(lengths: Sequence[int], budget: int, seed: int) -> list[list[int]]:
    """Row numbers by batch, in training order: rows times the longest row is at most ``budget`` tokens.

    A row longer than that is a batch of its own.
    """
    batches: list[list[int]] = []
    for start in range(0, len(lengths), _POOL):
        batch: list[int] = []
        for row in sorted(range(start, min(start + _POOL, len(lengths))), key=lambda row: (lengths[row], row)):
            if batch and lengths[row] * (len(batch) + 1) > budget:
                batches.append(batch)
                batch = []
            batch.append(row)
        batches.append(batch)
    random.Random(seed).shuffle(batches)
    return batches


def collate(rows: Sequence[Row]) -> Batch:
    """Rows side by side, padded on the right."""
    length = max(len(row.ids) for row in rows)

    def table(values: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
        return torch.tensor([[*value, *[fill] * (length - len(value))] for value in values])  # (B, T)

    learnt = [
        (number * length + place, target, weight)
        for number, row in enumerate(rows)
        for place, target, weight in row.learnt
    ]
    return Batch(
        ids=table([row.ids for row in rows], 0),
        positions=table([row.positions for row in rows], 0),
        branches=table([row.branches for row in rows], PADDING),
        at=torch.tensor([place for place, _, _ in learnt]),
        targets=torch.tensor([target for _, target, _ in learnt]),
        weights=torch.tensor([weight for _, _, weight in learnt]),
        examples=sum(row.examples for row in rows),
    )


def _common(group: Sequence[Tokens]) -> int:
    """Tokens that all prompts begin with, one less than the shortest prompt at most: a branch holds its last one."""
    shortest = min(len(tokens.prompt) for tokens in group) - 1
    first = group[0].prompt
    return next(
        (place for place in range(shortest) if any(tokens.prompt[place] != first[place] for tokens in group)), shortest
    )
