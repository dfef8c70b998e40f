"""The gate on the first token, against the softmax of the first logits by torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

from lm.decode import Gate, Step, greedy
from lm.errors import PromptInvalid
from lm.model import Decoder
from lm.torch_engine import TorchEngine

PROMPT = [5, 17, 300, 42, 9]
NEVER: frozenset[int] = frozenset()


@pytest.fixture(scope="module")
def engine(tiny_folder: Path) -> TorchEngine:
    return TorchEngine(tiny_folder)


@pytest.fixture(scope="module")
def first(tiny_model: Decoder) -> torch.Tensor:
    """Probabilities (V,) of the first token."""
    with torch.no_grad():
        logits: torch.Tensor = tiny_model(torch.tensor([PROMPT]))[0, -1]
    return logits.double().softmax(-1)


def tokens(steps: Iterable[Step]) -> list[int]:
    return [step.token for step in steps]


def ranked(first: torch.Tensor) -> list[int]:
    return [int(token) for token in first.argsort(descending=True)]


@pytest.mark.parametrize("rank", [0, 1, 30])
def test_a_token_as_probable_as_asked_opens_and_greedy_goes_on(
    engine: TorchEngine, first: torch.Tensor, rank: int
) -> None:
    token = ranked(first)[rank]
    steps = list(greedy(engine, PROMPT, 8, NEVER, Gate(token, float(first[token]) - 1e-6)))
    assert steps[0].token == token
    assert steps[0].probability == steps[0].gated == pytest.approx(float(first[token]), abs=1e-6)
    assert tokens(steps[1:]) == tokens(greedy(engine, [*PROMPT, token], 7, NEVER))


@pytest.mark.parametrize(("rank", "opens"), [(0, 1), (1, 0), (30, 0)])
def test_below_it_the_most_probable_other_token_opens(
    engine: TorchEngine, first: torch.Tensor, rank: int, opens: int
) -> None:
    token, other = ranked(first)[rank], ranked(first)[opens]
    steps = list(greedy(engine, PROMPT, 8, NEVER, Gate(token, float(first[token]) + 1e-6)))
    assert steps[0].token == other
    assert steps[0].probability == pytest.approx(float(first[other]), abs=1e-6)
    assert steps[0].gated == pytest.approx(float(first[token]), abs=1e-6)
    assert tokens(steps[1:]) == tokens(greedy(engine, [*PROMPT, other], 7, NEVER))


def test_exactly_as_probable_as_asked_opens(engine: TorchEngine, first: torch.Tensor) -> None:
    token = ranked(first)[3]
    (step,) = greedy(engine, PROMPT, 1, NEVER, Gate(token, 2.0))
    assert step.token != token
    assert step.gated is not None
    (again,) = greedy(engine, PROMPT, 1, NEVER, Gate(token, step.gated))
    assert again.token == token


def test_only_the_first_step_of_a_gated_answer_has_it(engine: TorchEngine, first: torch.Tensor) -> None:
    best = ranked(first)[0]
    free, gated = (list(greedy(engine, PROMPT, 8, NEVER, gate)) for gate in (None, Gate(best, 0.0)))
    assert [step.gated is None for step in gated] == [False] + [True] * 7
    assert [step.gated for step in free] == [None] * 8
    assert tokens(free) == tokens(gated)
    assert [step.probability for step in free] == pytest.approx([step.probability for step in gated])


def test_a_gate_outside_the_vocabulary(engine: TorchEngine) -> None:
    with pytest.raises(PromptInvalid, match=r"id 400 is not in 0\.\.399"):
        greedy(engine, PROMPT, 8, NEVER, Gate(400, 0.5))
