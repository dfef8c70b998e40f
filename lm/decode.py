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
    """A token of the answer and the probability, in [0, 1], that the model gave it.

    gated: on the first step of an answer that has a `Gate`, the probability of the gate's token; None elsewhere.
    """

    token: int
    probability: float
    gated: float | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """A token that opens the answer exactly if its probability there is ``least`` or more.

    Below that the most probable other token opens it. 0 opens every answer with the token, more than 1 none.
    """

    token: int
    least: float


def greedy(
    engine: Engine, prompt: Sequence[int], max_new_tokens: int, stop_ids: frozenset[int], gate: Gate | None = None
) -> Iterator[Step]:
    """Continue ``prompt`` by up to ``max_new_tokens`` tokens; a stop id ends the answer and is not part of it.

    ``gate`` decides the first token in place of the maximum. The prompt is checked in this call, before the first
    step: raises PromptInvalid when it is empty or it or the gate holds an id outside the vocabulary, PromptTooLong
    when it and ``max_new_tokens`` exceed the window. Closing the iterator early frees the session.
    """
    check_prompt(engine, prompt, max_new_tokens)
    if gate is not None:
        _check_ids(engine, (gate.token,))
    return _steps(engine, prompt, max_new_tokens, stop_ids, gate)


def check_prompt(engine: Engine, prompt: Sequence[int], max_new_tokens: int) -> None:
    """Raise PromptInvalid or PromptTooLong, as `greedy` does."""
    if max_new_tokens < 1:
        raise PromptInvalid(f"max_new_tokens is {max_new_tokens}: ask for at least 1")
    if not prompt:
        raise PromptInvalid("a prompt of 0 tokens has no continuation: pass at least 1")
    if len(prompt) + max_new_tokens > engine.window:
        raise PromptTooLong(len(prompt), max_new_tokens, engine.window)
    _check_ids(engine, prompt)


def _check_ids(engine: Engine, ids: Sequence[int]) -> None:
    if min(ids) < 0 or max(ids) >= engine.vocab_size:
        wrong = next(id for id in ids if not 0 <= id < engine.vocab_size)
        raise PromptInvalid(f"token id {wrong} is not in 0..{engine.vocab_size - 1}: use this model's tokenizer")


def _steps(
    engine: Engine, prompt: Sequence[int], max_new_tokens: int, stop_ids: frozenset[int], gate: Gate | None
) -> Iterator[Step]:
    with engine.session(len(prompt) + max_new_tokens) as session:
        logits = session.feed(prompt)
        for count in range(1, max_new_tokens + 1):
            step = _gated(logits, gate) if gate is not None and count == 1 else _most_probable(logits)
            if step.token in stop_ids:
                return
            yield step
            if count < max_new_tokens:
                logits = session.feed((step.token,))


def _most_probable(logits: NDArray[np.float32]) -> Step:
    token = int(logits.argmax())
    # The largest term of the softmax is 1 / sum(exp(x - max)), which cannot overflow.
    return Step(token, float(1.0 / np.exp(logits - logits[token]).sum(dtype=np.float64)))


def _gated(logits: NDArray[np.float32], gate: Gate) -> Step:
    probabilities = softmax(logits)
    gated = float(probabilities[gate.token])
    if gated >= gate.least:
        return Step(gate.token, gated, gated)
    others = logits.copy()
    others[gate.token] = -np.inf
    token = int(others.argmax())
    return Step(token, float(probabilities[token]), gated)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities (V,) of logits (V,)."""
    powers = np.exp(logits.astype(np.float64) - float(logits.max()))
    probabilities: NDArray[np.float64] = powers / powers.sum()
    return probabilities
