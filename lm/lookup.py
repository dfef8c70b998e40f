"""Prompt-lookup speculation (Saxena 2023): answers copy from passages, so what followed there is likely to follow here.

A wrong guess costs a little time and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lm.decode import Gate, Limits, Step, choose_greedily, decode
from lm.engine import Engine


def greedy_lookup(
    engine: Engine, prompt: Sequence[int], max_new_tokens: int, stop_ids: frozenset[int], gate: Gate | None = None
) -> Iterator[Step]:
    """What `lm.decode.greedy` writes, in fewer calls of the engine where the answer repeats the prompt or itself."""
    return decode(engine, prompt, Limits(max_new_tokens, stop_ids), choose_greedily(engine, gate), PromptLookup())


class PromptLookup:
    """Guesses that a text goes on as it did where its last tokens stood before. For one text, which only grows."""

    def __init__(self, most: int = 4, sizes: Sequence[int] = (3, 2)) -> None:
        """``most``: tokens guessed at a time. ``sizes``: how many last tokens must be the same, tried in this order."""
        self._most = most
        self._sizes = tuple(sizes)
        self._after: dict[tuple[int, ...], int] = {}  # from a run of tokens to the place after the last one like it
        self._read = 0

    def __call__(self, ids: Sequence[int]) -> Sequence[int]:
        """Tokens that may follow ``ids``, none where its end is new."""
        for place in range(self._read, len(ids)):
            for size in self._sizes:
                if place >= size:
                    self._after[tuple(ids[place - size : place])] = place
        self._read = len(ids)
        for size in self._sizes:
            place = self._after.get(tuple(ids[-size:]), len(ids))
            if place < len(ids):
                return ids[place : place + self._most]
        return ()
