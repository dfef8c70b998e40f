"""Drawing tokens against transformers: the scores that its processors make, its repetition control, and the draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers.generation import (
    LogitsProcessor,
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from lm.decode import Step, greedy
from lm.engine import Engine
from lm.errors import DecodingInvalid
from lm.sample import Sampling, choose_by, filtered, sample

NEVER: frozenset[int] = frozenset()
PROMPT = [5, 17, 300, 42, 9, 17, 300]


def tokens(steps: Any) -> list[int]:
    return [step.token for step in steps]


def their_processors(sampling: Sampling) -> LogitsProcessorList:
    listed: list[LogitsProcessor] = []
    if sampling.repetition_penalty != 1:
        listed.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    if sampling.no_repeat_ngram:
        listed.append(NoRepeatNGramLogitsProcessor(sampling.no_repeat_ngram))
    listed.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        listed.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        listed.append(TopPLogitsWarper(sampling.top_p))
    return LogitsProcessorList(listed)


def generated(theirs: Any, tokens: int, **options: Any) -> Any:
    """What transformers' generate makes of the prompt; ids are under .sequences, scores under .scores."""
    return theirs.generate(
        torch.tensor([PROMPT]), max_new_tokens=tokens, output_scores=True, return_dict_in_generate=True, **options
    )


def log_probabilities(scores: Any) -> NDArray[np.float64]:
    normal: NDArray[np.float64] = torch.as_tensor(scores).double().log_softmax(-1).numpy()
    return normal


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.4),
        Sampling(temperature=1.7),
        Sampling(top_k=1),
        Sampling(top_k=12),
        Sampling(top_k=5000),
        Sampling(top_p=0.7),
        Sampling(top_p=1e-6),
        Sampling(repetition_penalty=1.4),
        Sampling(repetition_penalty=0.6),
        Sampling(no_repeat_ngram=1),
        Sampling(no_repeat_ngram=2),
        Sampling(no_repeat_ngram=3),
        Sampling(temperature=0.6, top_k=40, top_p=0.8, repetition_penalty=1.3, no_repeat_ngram=2),
        Sampling(temperature=1.4, top_k=100, top_p=0.95, repetition_penalty=1.1, no_repeat_ngram=3),
    ],
)
def test_scores_are_those_of_transformers(sampling: Sampling) -> None:
    random = np.random.default_rng(8)
    for _ in range(20):
        logits = (random.normal(size=300) * 3).astype(np.float32)
        ids = random.integers(0, 12, size=40).tolist()  # few tokens, so that runs repeat
        theirs = their_processors(sampling)(torch.tensor([ids]), torch.from_numpy(logits)[None])[0]
        ours = log_probabilities(filtered(logits, ids, sampling))
        assert ours == pytest.approx(log_probabilities(theirs), abs=1e-5)
        if sampling.top_k or sampling.top_p < 1 or sampling.no_repeat_ngram == 1:
            assert np.isinf(ours).any() == (sampling.top_k < 300)


def test_ties_with_the_last_of_the_top_stay() -> None:
    logits = np.array([1, 3, 2, 2, 0], dtype=np.float32)
    theirs = TopKLogitsWarper(2)(torch.tensor([[0]]), torch.from_numpy(logits)[None])[0]
    ours = filtered(logits, [0], Sampling(top_k=2))
    assert np.isfinite(ours).tolist() == torch.isfinite(theirs).tolist() == [False, True, True, True, False]


@pytest.mark.parametrize(("penalty", "ngram"), [(1.3, 0), (1.0, 2), (1.0, 3), (1.2, 2)])
def test_repetition_control_writes_what_generate_writes(
    either_engine: Engine, theirs: Any, penalty: float, ngram: int
) -> None:
    sampling = Sampling(temperature=0, repetition_penalty=penalty, no_repeat_ngram=ngram)
    written = generated(theirs, 60, do_sample=False, repetition_penalty=penalty, no_repeat_ngram_size=ngram)
    expected = written.sequences[0, len(PROMPT) :].tolist()
    assert tokens(sample(either_engine, PROMPT, 60, NEVER, sampling)) == expected
    assert tokens(greedy(either_engine, PROMPT, 60, NEVER)) != expected


def test_draws_are_scored_as_generate_scores_them(either_engine: Engine, theirs: Any) -> None:
    torch.manual_seed(2)
    options: dict[str, Any] = {"temperature": 0.8, "top_k": 30, "top_p": 0.9, "repetition_penalty": 1.2}
    written = generated(theirs, 12, do_sample=True, **options)
    ids: list[int] = written.sequences[0].tolist()
    sampling = Sampling(**options)
    for place, scores in enumerate(written.scores, start=len(PROMPT)):
        with either_engine.session(100) as session:
            ours = filtered(session.feed(ids[:place]), ids[:place], sampling)
        assert log_probabilities(ours) == pytest.approx(log_probabilities(scores[0]), abs=1e-3)


def test_tokens_come_as_often_as_they_are_probable() -> None:
    logits = np.log(np.array([0.5, 0.25, 0.2, 0.05], dtype=np.float32))
    choose = choose_by(Sampling(seed=3, top_p=0.9))
    counts = np.bincount([choose(logits, [0]).token for _ in range(4000)], minlength=4)
    expected = np.array([0.5, 0.25, 0.2]) / 0.95 * 4000
    assert counts[3] == 0
    # Chi-square with 2 degrees of freedom: above 13.8 once in 1000 seeds.
    assert ((counts[:3] - expected) ** 2 / expected).sum() < 13.8


def test_a_seed_gives_one_answer_and_another_seed_another(either_engine: Engine) -> None:
    first, again, other = (tokens(sample(either_engine, PROMPT, 20, NEVER, Sampling(seed=seed))) for seed in (1, 1, 2))
    assert first == again != other
    unseeded = {tuple(tokens(sample(either_engine, PROMPT, 20, NEVER, Sampling()))) for _ in range(3)}
    assert len(unseeded) == 3


def test_temperature_0_and_one_token_left_are_greedy(either_engine: Engine) -> None:
    expected = list(greedy(either_engine, PROMPT, 20, NEVER))
    for sampling in (Sampling(temperature=0), Sampling(top_k=1), Sampling(top_p=1e-9), Sampling(temperature=1e-300)):
        found = list(sample(either_engine, PROMPT, 20, NEVER, sampling))
        assert tokens(found) == tokens(expected)
        assert [step.probability for step in found] == pytest.approx([step.probability for step in expected])


def test_probabilities_and_alternatives_are_the_model_s_own(either_engine: Engine, theirs: Any) -> None:
    sampling = Sampling(temperature=0.5, top_k=3, repetition_penalty=1.5, seed=4, alternatives=5)
    steps: list[Step] = list(sample(either_engine, PROMPT, 8, NEVER, sampling))
    with torch.no_grad():
        logits = theirs(torch.tensor([[*PROMPT, *tokens(steps)]])).logits[0, len(PROMPT) - 1 : -1]
    for step, row in zip(steps, logits.softmax(-1), strict=True):
        best = row.topk(5)
        assert [id for id, _ in step.alternatives] == best.indices.tolist()
        assert [p for _, p in step.alternatives] == pytest.approx(best.values.tolist(), abs=1e-4)
        assert step.probability == pytest.approx(float(row[step.token]), abs=1e-4)


def test_more_alternatives_than_tokens() -> None:
    step = choose_by(Sampling(alternatives=20))(np.array([0, 2, 1], dtype=np.float32), [0])
    assert [id for id, _ in step.alternatives] == [1, 2, 0]
    assert sum(p for _, p in step.alternatives) == pytest.approx(1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": -0.1}, r"temperature is -0\.1: use 0 for greedy"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"top_k": -1}, "top_k is -1: use 0 for all"),
        ({"top_p": 0.0}, r"top_p is 0\.0"),
        ({"top_p": 1.5}, r"top_p is 1\.5: use a probability"),
        ({"seed": -3}, "seed is -3"),
        ({"repetition_penalty": 0.0}, r"repetition_penalty is 0\.0: use 1"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram is -1"),
        ({"alternatives": 21}, "alternatives is 21: ask for 0 to 20"),
    ],
)
def test_values_that_make_no_sense(values: dict[str, Any], message: str) -> None:
    with pytest.raises(DecodingInvalid, match=message):
        Sampling(**values)
