"""Decoding, one token a step: the loop that every way of choosing a token goes through, and greedy decoding.

lm/sample.py draws tokens instead, lm/lookup.py guesses several at once, lm/batch.py writes several answers side by
side, lm/beam.py searches. No torch in any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat

import numpy as np
from numpy.typing import NDArray

from lm.engine import Engine
from lm.errors import PromptInvalid, PromptTooLong


@dataclass(frozen=True, slots=True)
class Step:
    """A token of the answer and the probability, in [0, 1], that the model gave it.

    gated: on the first step of an answer that has a `Gate`, the probability of the gate's token; None elsewhere.
    alternatives: the most probable tokens at this place, best first, with their probabilities, where asked for.
    """

    token: int
    probability: float
    gated: float | None = None
    alternatives: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Gate:
    """A token that opens the answer exactly if its probability there is ``least`` or more.

    Below that the most probable other token opens it. 0 opens every answer with the token, more than 1 none.
    """

    token: int
    least: float


@dataclass(frozen=True, slots=True)
class Limits:
    """Where an answer ends: after ``max_new_tokens``, or before the first token of ``stop_ids``."""

    max_new_tokens: int
    stop_ids: frozenset[int]


# From logits (V,) and the tokens so far, prompt included, the next token. One answer's: it may keep state.
Choose = Callable[[NDArray[np.float32], Sequence[int]], Step]

# From the tokens so far, prompt included, those that may come next; any number, also none. One answer's.
Guess = Callable[[Sequence[int]], Sequence[int]]


def greedy(
    engine: Engine, prompt: Sequence[int], max_new_tokens: int, stop_ids: frozenset[int], gate: Gate | None = None
) -> Iterator[Step]:
    """Continue ``prompt`` by up to ``max_new_tokens`` tokens, each the most probable one, as `decode` does.

    ``gate`` decides the first token in place of the maximum; PromptInvalid when it is outside the vocabulary.
    """
    return decode(engine, prompt, Limits(max_new_tokens, stop_ids), choose_greedily(engine, gate))


def decode(
    engine: Engine, prompt: Sequence[int], limits: Limits, choose: Choose, guess: Guess | None = None
) -> Iterator[Step]:
    """Continue ``prompt``, token by token; a stop id ends the answer and is not part of it.

    Tokens that ``guess`` foresees are fed together with the one before them and kept as far as ``choose`` agrees: the
    answer is the same, in fewer calls. The prompt is checked in this call, before the first step: raises PromptInvalid
    when it is empty or holds an id outside the vocabulary, PromptTooLong when it and ``max_new_tokens`` exceed the
    window. Closing the iterator early frees the session.
    """
    check_prompt(engine, prompt, limits.max_new_tokens)
    return _steps(engine, prompt, limits, choose, guess)


def check_prompt(engine: Engine, prompt: Sequence[int], max_new_tokens: int) -> None:
    """Raise PromptInvalid or PromptTooLong, as `decode` does."""
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
    engine: Engine, prompt: Sequence[int], limits: Limits, choose: Choose, guess: Guess | None
) -> Iterator[Step]:
    ids, end = list(prompt), len(prompt) + limits.max_new_tokens
    # Wrong guesses keep their places: room for as many as there are new tokens, where the window has it.
    capacity = end if guess is None else min(engine.window, end + limits.max_new_tokens)
    with engine.session(capacity) as session:
        logits = session.feed(prompt)[None]  # (1, V)
        guessed: Sequence[int] = ()
        places = len(prompt)
        while True:
            for agreed, row in enumerate(logits):
                step = choose(row, ids)
                if step.token in limits.stop_ids:
                    return
                ids.append(step.token)
                yield step
                if len(ids) == end:
                    return
                if agreed == len(guessed) or guessed[agreed] != step.token:
                    break
            session.drop(len(guessed) - agreed)
            # The token itself and, should no guess be right, one more feed for each token but the last.
            room = min(end - len(ids) - 1, capacity - places - (end - len(ids)))
            guessed = guess(ids)[:room] if guess is not None and room > 0 else ()
            logits = session.feed_each((step.token, *guessed))  # (1 + guesses, V)
            places += 1 + len(guessed)


def choose_greedily(engine: Engine, gate: Gate | None = None) -> Choose:
    """The most probable token, but for the first of an answer that has a ``gate``.

    Raises PromptInvalid for a gate outside the vocabulary.
    """
    if gate is None:
        return lambda logits, _: _most_probable(logits)
    _check_ids(engine, (gate.token,))
    ways: Iterator[Callable[[NDArray[np.float32]], Step]] = chain(
        [partial(_by_gate, gate=gate)], repeat(_most_probable)
    )
    return lambda logits, _: next(ways)(logits)


def _by_gate(logits: NDArray[np.float32], gate: Gate) -> Step:
    probabilities = softmax(logits)
    gated = float(probabilities[gate.token])
    if gated >= gate.least:
        return Step(gate.token, gated, gated)
    others = logits.copy()
    others[gate.token] = -np.inf
    token = int(others.argmax())
    return Step(token, float(probabilities[token]), gated)


def _most_probable(logits: NDArray[np.float32]) -> Step:
    token = int(logits.argmax())
    # The largest term of the softmax is 1 / sum(exp(x - max)), which cannot overflow.
    return Step(token, float(1.0 / np.exp(logits - logits[token]).sum(dtype=np.float64)))


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities (V,) of logits (V,), some of which may be -inf."""
    powers = np.exp(logits.astype(np.float64) - float(logits.max()))
    probabilities: NDArray[np.float64] = powers / powers.sum()
    return probabilities
