"""Greedy decoding: always the most probable next token, one step at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lm.engine import Engine
from lm.errors import PromptInvalid, PromptTooLong


@dataclass(frozen=True, slots=True)
class Step:
    """A token of the answer and the probability, in [0, 1], that the model gave it."""

    token: int
    probability: float


def greedy(engine: Engine, prompt: Sequence[int], max_new_tokens: int, stop_ids: frozenset[int]) -> Iterator[Step]:
    """Continue ``prompt`` by up to ``max_new_tokens`` tokens; a stop id ends the answer and is not part of it.

    The prompt is checked in this call, before the first step: raises PromptInvalid when it is empty or holds an id
    outside the vocabulary, PromptTooLong when it and ``max_new_tokens`` exceed the window. Closing the iterator early
    frees the session.
    """
    check_prompt(engine, prompt, max_new_tokens)
    return _steps(engine, prompt, max_new_tokens, stop_ids)


def check_prompt(engine: Engine, prompt: Sequence[int], max_new_tokens: int) -> None:
    """Raise PromptInvalid or PromptTooLong, as `greedy` does."""
    if max_new_tokens < 1:
        raise PromptInvalid(f"max_new_tokens is {max_new_tokens}: ask for at least 1")
    if not prompt:
        raise PromptInvalid("a prompt of 0 tokens has no continuation: pass at least 1")
    if len(prompt) + max_new_tokens > engine.window:
        raise PromptTooLong(len(prompt), max_new_tokens, engine.window)
    if min(prompt) < 0 or max(prompt) >= engine.vocab_size:
        wrong = next(id for id in prompt if not 0 <= id < engine.vocab_size)
        raise PromptInvalid(f"token id {wrong} is not in 0..{engine.vocab_size - 1}: use this model's tokenizer")


def _steps(engine: Engine, prompt: Sequence[int], max_new_tokens: int, stop_ids: frozenset[int]) -> Iterator[Step]:
    with engine.session(len(prompt) + max_new_tokens) as session:
        logits = session.feed(prompt)
        for count in range(1, max_new_tokens + 1):
            step = _most_probable(logits)
            if step.token in stop_ids:
                return
            yield step
            if count < max_new_tokens:
                logits = session.feed((step.token,))


def _most_probable(logits: NDArray[np.float32]) -> Step:
    token = int(logits.argmax())
    # The largest term of the softmax is 1 / sum(exp(x - max)), which cannot overflow.
    return Step(token, float(1.0 / np.exp(logits - logits[token]).sum(dtype=np.float64)))
