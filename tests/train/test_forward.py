"""The packed forward pass against the model's own, prompt by prompt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lm.checkpoint import load
from lm.lora import LoraShape, adapter_weights, add_adapters
from train.batches import Tokens, collate, pack
from train.forward import compiled_block, packed_logits, plain_block, weighted_loss


def group(seed: int, shared: int, lengths: tuple[int, ...]) -> list[Tokens]:
    draw = torch.Generator().manual_seed(seed)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, 250, (count,), generator=draw).tolist())

    prefix = ids(shared)
    return [Tokens((*prefix, *ids(length)), ids(3)) for length in lengths]


def test_branches_have_the_logits_of_separate_prompts(base: Path) -> None:
    model = load(base)
    groups = [group(1, 20, (5, 9, 2)), group(2, 31, (4,))]
    with torch.no_grad():
        packed = packed_logits(model, collate([pack(one) for one in groups]))
        alone = []
        for tokens in (tokens for one in groups for tokens in one):
            ids = torch.tensor([[*tokens.prompt, *tokens.answer[:-1]]])
            alone.append(model(ids)[0, len(tokens.prompt) - 1 :])
    torch.testing.assert_close(packed, torch.cat(alone), atol=2e-5, rtol=1e-4)
    assert packed.std() > 0.1  # logits far from flat, so that equal means something


def test_the_loss_and_its_gradient_are_those_of_separate_prompts(base: Path) -> None:
    tokens = group(4, 12, (3, 6))
    gradients = []
    for rows in ([tokens], [[one] for one in tokens]):
        model = load(base)
        add_adapters(model, LoraShape(4, 8.0), seed=1)
        with torch.no_grad():
            for weight in adapter_weights(model).values():
                weight.add_(0.05)
        batch = collate([pack(row) for row in rows])
        loss = weighted_loss(packed_logits(model, batch), batch)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients.append([loss.detach(), *(weight.grad for weight in adapter_weights(model).values())])
    for packed, alone in zip(*gradients, strict=True):
        torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch looks at it while it compiles
def test_compiled_layers_give_the_same_loss_and_gradient(base: Path) -> None:
    results = []
    for block in (plain_block, compiled_block()):
        model = load(base)
        add_adapters(model, LoraShape(4, 8.0), seed=1)
        with torch.no_grad():
            for weight in adapter_weights(model).values():
                weight.add_(0.05)
        for seed, lengths in ((4, (3, 6)), (5, (2, 2, 9))):  # two shapes: compiled once for both
            batch = collate([pack(group(seed, 12, lengths))])
            weighted_loss(packed_logits(model, batch, block), batch).backward()  # type: ignore[no-untyped-call]
        results.append([weight.grad for weight in adapter_weights(model).values()])
    for plain, compiled in zip(*results, strict=True):
        torch.testing.assert_close(plain, compiled, atol=1e-5, rtol=1e-3)
