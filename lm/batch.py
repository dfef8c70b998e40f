"""Several answers side by side: each step's weights are read once for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lm.decode import Choose, Gate, Limits, Step, check_prompt, choose_greedily
from lm.engine import Engine


def greedy_batch(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    stop_ids: frozenset[int],
    gate: Gate | None = None,
) -> Iterator[tuple[int, Step]]:
    """What `lm.decode.greedy` writes to each of ``prompts``, written side by side, as `decode_batch` does."""
    chooses = [choose_greedily(engine, gate) for _ in prompts]
    return decode_batch(engine, prompts, Limits(max_new_tokens, stop_ids), chooses)


def decode_batch(
    engine: Engine, prompts: Sequence[Sequence[int]], limits: Limits, chooses: Sequence[Choose]
) -> Iterator[tuple[int, Step]]:
    """Continue each of ``prompts``, choosing by its own of ``chooses``: pairs (place in ``prompts``, its next step).

    One batch, however many they are: 8 of like length is a good size, since short prompts are padded to the longest. A
    finished answer leaves the batch and costs nothing more. Raises as `lm.decode.decode` does, in this call.
    """
    for prompt in prompts:
        check_prompt(engine, prompt, limits.max_new_tokens)
    return _steps(engine, prompts, limits, chooses)


def _steps(
    engine: Engine, prompts: Sequence[Sequence[int]], limits: Limits, chooses: Sequence[Choose]
) -> Iterator[tuple[int, Step]]:
    if not prompts:
        return
    texts = [list(prompt) for prompt in prompts]
    going = list(range(len(prompts)))  # the prompt that each row of the session continues
    ids, mask = pad_left(prompts)
    with engine.session(ids.shape[1] + limits.max_new_tokens) as session:
        logits = session.feed_rows(ids, mask)  # (B, V)
        for count in range(1, limits.max_new_tokens + 1):
            rows = []  # those that go on
            for row, place in enumerate(going):
                step = chooses[place](logits[row], texts[place])
                if step.token not in limits.stop_ids:
                    texts[place].append(step.token)
                    yield place, step
                    rows.append(row)
            if not rows or count == limits.max_new_tokens:
                return
            kept = None if len(rows) == len(going) else rows
            going = [going[row] for row in rows]
            new = np.array([[texts[place][-1]] for place in going], dtype=np.int64)  # (B, 1)
            logits = session.feed_rows(new, rows=kept)


def pad_left(prompts: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids and mask, both (B, T): prompts that end in the same column, and 0 in both where they are padded."""
    length = max(map(len, prompts))
    ids, mask = np.zeros((2, len(prompts), length), dtype=np.int64)
    for row, prompt in enumerate(prompts):
        ids[row, length - len(prompt) :] = prompt
        mask[row, length - len(prompt) :] = 1
    return ids, mask
