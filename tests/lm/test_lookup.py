"""Speculation: whatever is guessed, the answer is the one without guesses, and good guesses save calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from lm.decode import Gate, Guess, Limits, choose_greedily, decode, greedy
from lm.engine import Engine, Session
from lm.lookup import PromptLookup, greedy_lookup
from lm.sample import Sampling, choose_by, sample

NEVER: frozenset[int] = frozenset()


def prompts(count: int) -> list[list[int]]:
    random = np.random.default_rng(12)
    return [random.integers(3, 400, size=random.integers(1, 60)).tolist() for _ in range(count)]


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each call after the prompt's has fed."""
    counts: list[int] = []
    feed_each = Session.feed_each

    def counted(self: Session, ids: Sequence[int]) -> Any:
        counts.append(len(ids))
        return feed_each(self, ids)

    monkeypatch.setattr(Session, "feed_each", counted)
    return counts


def right_until(answer: list[int], start: int, right: int, most: int) -> Guess:
    """Guesses ``most`` tokens of which the first ``right`` are the answer's."""

    def guess(ids: Sequence[int]) -> list[int]:
        done = len(ids) - start
        true = answer[done : done + most]
        return [id if place < right else (id + 1) % 400 for place, id in enumerate(true)]

    return guess


@pytest.mark.parametrize(("right", "most"), [(0, 1), (0, 5), (1, 4), (3, 4), (4, 4), (7, 9)])
def test_right_and_wrong_guesses_change_nothing(either_engine: Engine, fed: list[int], right: int, most: int) -> None:
    for prompt in prompts(4):
        expected = [step.token for step in greedy(either_engine, prompt, 40, NEVER)]
        fed.clear()
        guess = right_until(expected, len(prompt), right, most)
        found = decode(either_engine, prompt, Limits(40, NEVER), choose_greedily(either_engine), guess)
        assert [step.token for step in found] == expected
        if right:
            assert len(fed) <= 40 / (1 + right) + 40 / 4
        assert max(fed) == 1 + most
        assert len(prompt) + sum(fed) <= len(prompt) + 2 * 40  # the room that the session was asked for


def test_guesses_never_outgrow_the_window(either_engine: Engine, fed: list[int]) -> None:
    prompt = [7, 8, 9] * 52  # 156 tokens and 40 new ones: 4 places of the window of 200 are left for wrong guesses
    expected = [step.token for step in greedy(either_engine, prompt, 40, NEVER)]
    fed.clear()
    wrong = right_until(expected, len(prompt), 0, 5)
    found = decode(either_engine, prompt, Limits(40, NEVER), choose_greedily(either_engine), wrong)
    assert [step.token for step in found] == expected
    assert len(prompt) + sum(fed) <= 200
    assert sum(fed) - len(fed) >= 4


def test_lookup_writes_what_greedy_writes_in_fewer_calls(either_engine: Engine, fed: list[int]) -> None:
    calls = {"greedy": 0, "lookup": 0}
    for prompt in prompts(6):
        expected = list(greedy(either_engine, prompt, 60, NEVER))
        calls["greedy"] += len(fed)
        fed.clear()
        found = list(greedy_lookup(either_engine, prompt, 60, NEVER))
        calls["lookup"] += len(fed)
        fed.clear()
        assert [step.token for step in found] == [step.token for step in expected]
        assert [step.probability for step in found] == pytest.approx([step.probability for step in expected], abs=1e-4)
    assert calls["lookup"] < 0.8 * calls["greedy"]


def test_stop_token_and_gate(either_engine: Engine) -> None:
    for prompt in prompts(4):
        whole = [step.token for step in greedy(either_engine, prompt, 40, NEVER)]
        for stop in {whole[0], whole[7], whole[20]}:
            expected = [step.token for step in greedy(either_engine, prompt, 40, frozenset([stop]))]
            found = greedy_lookup(either_engine, prompt, 40, frozenset([stop]))
            assert [step.token for step in found] == expected
        gate = Gate(11, 0.0)
        expected = [step.token for step in greedy(either_engine, prompt, 40, NEVER, gate)]
        gated = list(greedy_lookup(either_engine, prompt, 40, NEVER, gate))
        assert [step.token for step in gated] == expected
        assert [step.gated is not None for step in gated] == [True] + [False] * 39


def test_draws_are_the_same_with_guesses(either_engine: Engine) -> None:
    prompt = [5, 6, 7, 8] * 8
    sampling = Sampling(temperature=0.3, seed=1)
    expected = [step.token for step in sample(either_engine, prompt, 40, NEVER, sampling)]
    found = decode(either_engine, prompt, Limits(40, NEVER), choose_by(sampling), PromptLookup())
    assert [step.token for step in found] == expected


@pytest.mark.parametrize(
    ("ids", "guess"),
    [
        ([1, 2, 3, 4, 5, 6, 9, 1, 2], [3, 4, 5, 6]),
        ([1, 2, 3, 9, 1, 2, 4, 9, 1, 2], [4, 9, 1, 2]),  # the last place where it stood
        ([0, 1, 2, 3, 9, 5, 1, 2, 4, 9, 0, 1, 2], [3, 9, 5, 1]),  # three tokens alike before two
        ([1, 2, 3, 4], []),
        ([1, 2, 3, 2], []),  # one token alike is not enough
        ([7], []),
        ([8, 8, 8], [8]),
    ],
)
def test_guesses(ids: list[int], guess: list[int]) -> None:
    assert list(PromptLookup()(ids)) == guess


def test_guesses_know_what_was_written_since() -> None:
    lookup = PromptLookup()
    assert list(lookup([1, 2, 3])) == []
    assert list(lookup([1, 2, 3, 4, 5, 1, 2])) == [3, 4, 5, 1]
    assert list(lookup([1, 2, 3, 4, 5, 1, 2, 7, 1, 2])) == [7, 1, 2]
