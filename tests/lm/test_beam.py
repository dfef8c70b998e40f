"""Beam search against transformers' generate: the same answers, in the same order, with the same scores."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from lm.beam import Beams, beam_search
from lm.decode import greedy
from lm.engine import Engine
from lm.errors import DecodingInvalid, PromptTooLong


def prompts(count: int) -> list[list[int]]:
    random = np.random.default_rng(9)
    return [random.integers(3, 400, size=random.integers(1, 50)).tolist() for _ in range(count)]


def expected(
    theirs: Any, prompt: list[int], count: int, stop_ids: list[int], beams: Beams
) -> list[tuple[list[int], float]]:
    written = theirs.generate(
        torch.tensor([prompt]),
        max_new_tokens=count,
        do_sample=False,
        num_beams=beams.count,
        num_return_sequences=beams.count,
        length_penalty=beams.length_penalty,
        early_stopping=beams.early_stopping,
        eos_token_id=stop_ids or None,
        output_scores=True,
        return_dict_in_generate=True,
    )
    answers = []
    for row, score in zip(written.sequences.tolist(), written.sequences_scores.tolist(), strict=True):
        answer = row[len(prompt) :]
        ends = [place for place, id in enumerate(answer) if id in stop_ids]
        answers.append((answer[: ends[0]] if ends else answer, score))
    return answers


@pytest.mark.parametrize(("count", "penalty", "early"), product([2, 4], [1.0, 0.0, 2.0, -1.0], [False, True]))
def test_answers_are_those_of_generate(
    either_engine: Engine, theirs: Any, count: int, penalty: float, early: bool
) -> None:
    beams = Beams(count, penalty, early)
    shorter = 0
    for prompt in prompts(3):
        free = beam_search(either_engine, prompt, 16, frozenset(), beams)
        assert len(free) == count
        # Tokens that answers do hold, so that some beams end early; and one that none may hold.
        for stops in ([], [free[0].tokens[5]], [free[0].tokens[9], free[-1].tokens[3], 399]):
            found = beam_search(either_engine, prompt, 16, frozenset(stops), beams)
            answers = expected(theirs, prompt, 16, sorted(set(stops)), beams)
            assert [list(each.tokens) for each in found] == [tokens for tokens, _ in answers]
            assert [each.score for each in found] == pytest.approx([score for _, score in answers], abs=1e-3)
            shorter += sum(len(each.tokens) < 16 for each in found)
    assert shorter


def test_a_search_finds_what_greedy_decoding_misses(either_engine: Engine) -> None:
    def total(prompt: list[int], answer: list[int]) -> float:
        sum_of_logs = 0.0
        for place in range(len(answer)):
            with either_engine.session(100) as session:
                logits = torch.from_numpy(session.feed([*prompt, *answer[:place]]))
            sum_of_logs += float(logits.log_softmax(-1)[answer[place]])
        return sum_of_logs

    better = 0
    for prompt in prompts(4):
        best = beam_search(either_engine, prompt, 8, frozenset(), Beams(4))[0]
        plain = total(prompt, [step.token for step in greedy(either_engine, prompt, 8, frozenset())])
        assert best.score * 8 == pytest.approx(total(prompt, list(best.tokens)), abs=1e-2)
        better += best.score * 8 > plain + 1e-3
    assert better


def test_values_that_make_no_sense(either_engine: Engine) -> None:
    with pytest.raises(DecodingInvalid, match="search of 1 beams is none: use 2 or more, or greedy"):
        Beams(1)
    with pytest.raises(PromptTooLong):
        beam_search(either_engine, [7] * 196, 6, frozenset(), Beams())
