"""Answers written side by side are those written one by one, whatever their lengths and however soon some end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from lm.batch import decode_batch, greedy_batch, pad_left
from lm.decode import Gate, Limits, Step, greedy
from lm.engine import Engine, Session
from lm.errors import PromptInvalid, PromptTooLong
from lm.sample import Sampling, choose_by, sample

NEVER: frozenset[int] = frozenset()


def prompts(count: int) -> list[list[int]]:
    random = np.random.default_rng(5)
    return [random.integers(3, 400, size=random.integers(1, 70)).tolist() for _ in range(count)]


def answers(steps: Iterable[tuple[int, Step]], count: int) -> list[list[int]]:
    written: dict[int, list[int]] = defaultdict(list)
    for place, step in steps:
        written[place].append(step.token)
    return [written[place] for place in range(count)]


def alone(engine: Engine, some: Sequence[Sequence[int]], count: int, stop_ids: frozenset[int]) -> list[list[int]]:
    return [[step.token for step in greedy(engine, prompt, count, stop_ids)] for prompt in some]


@pytest.mark.parametrize("size", [1, 2, 8])
def test_tokens_are_those_written_one_by_one(either_engine: Engine, size: int) -> None:
    some = prompts(size)
    assert answers(greedy_batch(either_engine, some, 30, NEVER), size) == alone(either_engine, some, 30, NEVER)


def test_tokens_are_those_of_generate(either_engine: Engine, theirs: Any) -> None:
    some = prompts(5)
    ids, mask = pad_left(some)
    written = theirs.generate(
        torch.from_numpy(ids), attention_mask=torch.from_numpy(mask), max_new_tokens=25, do_sample=False
    )[:, ids.shape[1] :]
    assert answers(greedy_batch(either_engine, some, 25, NEVER), 5) == written.tolist()


def test_answers_that_end_leave_the_others_as_they_were(either_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    some = prompts(8)
    whole = alone(either_engine, some, 40, NEVER)
    stop_ids = frozenset([whole[0][2], whole[3][0], whole[5][9], whole[6][20]])
    expected = alone(either_engine, some, 40, stop_ids)
    lengths = sorted(map(len, expected))
    assert lengths[0] == 0 < lengths[1] < lengths[4]
    rows: list[int] = []
    feed_rows = Session.feed_rows

    def counted(self: Session, ids: Any, *others: Any, **named: Any) -> Any:
        rows.append(len(ids))
        return feed_rows(self, ids, *others, **named)

    monkeypatch.setattr(Session, "feed_rows", counted)
    assert answers(greedy_batch(either_engine, some, 40, stop_ids), 8) == expected
    # Each row is fed its prompt and every token but the last of a full answer: finished ones cost nothing.
    assert sum(rows) == 8 + sum(min(len(answer), 39) for answer in expected)


def test_steps_come_as_they_are_written(either_engine: Engine) -> None:
    places = [place for place, _ in greedy_batch(either_engine, prompts(3), 4, NEVER)]
    assert places == [0, 1, 2] * 4


def test_each_answer_has_its_gate(either_engine: Engine) -> None:
    some = prompts(4)
    gate = Gate(9, 0.002)
    expected = [list(greedy(either_engine, prompt, 6, NEVER, gate)) for prompt in some]
    found: dict[int, list[Step]] = defaultdict(list)
    for place, step in greedy_batch(either_engine, some, 6, NEVER, gate):
        found[place].append(step)
    for place, steps in enumerate(expected):
        assert [step.token for step in found[place]] == [step.token for step in steps]
        assert found[place][0].gated == pytest.approx(steps[0].gated, abs=1e-5)
        assert all(step.gated is None for step in found[place][1:])


def test_drawn_answers_are_those_drawn_one_by_one(either_engine: Engine) -> None:
    some = prompts(4)
    samplings = [Sampling(temperature=0.7, seed=seed, no_repeat_ngram=3) for seed in range(4)]
    expected = [
        [step.token for step in sample(either_engine, prompt, 15, NEVER, sampling)]
        for prompt, sampling in zip(some, samplings, strict=True)
    ]
    found = decode_batch(either_engine, some, Limits(15, NEVER), [choose_by(sampling) for sampling in samplings])
    assert answers(found, 4) == expected


def test_no_prompts(either_engine: Engine) -> None:
    assert list(greedy_batch(either_engine, [], 5, NEVER)) == []


def test_prompts_are_checked_on_the_call(either_engine: Engine) -> None:
    with pytest.raises(PromptTooLong, match="prompt of 196 tokens"):
        greedy_batch(either_engine, [[5], [7] * 196], 6, NEVER)
    with pytest.raises(PromptInvalid, match="0 tokens"):
        greedy_batch(either_engine, [[5], []], 6, NEVER)
