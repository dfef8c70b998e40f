"""What the pruned network computes, against transformers' own states and attention, row by row."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import BertModel

from lm.cross_encoder import CUT, SORTED, CrossEncoder, kept_places
from tests.tiny_bert import make_tiny_bert
from train.bert import load_bert, padded

DRAW = np.random.default_rng(5)
SHORT = ([2, 7, 9, 3, 11, 12, 13, 3], [2, 7, 3, 9, 3], [2, 5, 3, 8, 6, 10, 14, 15, 16, 17, 3])
LONG = tuple([2, *DRAW.integers(4, 40, length - 2).tolist(), 3] for length in (200, 96, 161, 240, 65))
LONG_SECOND = (14, 4, 40, 98, 64)  # the question of the fourth is longer than what is kept


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> CrossEncoder:
    made = CrossEncoder(load_bert(make_tiny_bert(tmp_path_factory.mktemp("base"), layers=5)), seed=3).eval()
    with torch.no_grad():
        made.head.weight.normal_()  # so that what the head reads shows
        for layer in made.bert.encoder.layer:  # and attention is not all alike
            layer.attention.self.query.weight.mul_(20)
            layer.attention.self.key.weight.mul_(20)
    return made


@torch.inference_mode()
def expected(model: CrossEncoder, ids: list[int], second: int) -> Tensor:
    """Logits (2,) of one row, by transformers' layers over the tokens that their attention picks."""
    bert: BertModel = model.bert
    bert.set_attn_implementation("eager")
    *layers, last = bert.encoder.layer
    states = bert.embeddings(**{name: padded([ids], [second])[name] for name in ("input_ids", "token_type_ids")})
    for number, layer in enumerate(layers):
        _, attention = layer.attention(states)  # (1, H, K, K)
        states = layer(states)
        if number == 1:
            paid = attention[0, :, : min(second, 32)].sum((0, 1))  # (T,)
            paid[0] = torch.inf
            states = states[:, paid.argsort(descending=True)[: max(64, math.ceil(len(ids) / 2))]]
        if number == 3:
            states = states[:, : max(32, math.ceil(len(ids) / 5))]
    bert.set_attn_implementation("sdpa")
    return cast(Tensor, model.head(torch.cat([last(states)[0, 0], states[0].mean(0)])))


@pytest.mark.parametrize(("rows", "second"), [(SHORT, (4, 3, 3)), (LONG, LONG_SECOND)])
def test_it_is_transformers_over_what_the_question_attends_to(
    model: CrossEncoder, rows: tuple[list[int], ...], second: tuple[int, ...]
) -> None:
    with torch.inference_mode():
        logits = model(**padded(rows, second))
    for row, ids in enumerate(rows):
        torch.testing.assert_close(logits[row], expected(model, ids, second[row]), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_a_pair_does_not_see_its_neighbours_or_padding(model: CrossEncoder) -> None:
    together = model(**padded(LONG, LONG_SECOND))
    for row, (ids, second) in enumerate(zip(LONG, LONG_SECOND, strict=True)):
        torch.testing.assert_close(model(**padded([ids], [second]))[0], together[row])
    changed = padded([[*LONG[0][:5], 19, *LONG[0][6:]], *LONG[1:]], LONG_SECOND)
    assert not torch.allclose(model(**changed)[0], together[0])


@torch.inference_mode()
def test_a_dropped_token_was_read_before_it_was_dropped(model: CrossEncoder) -> None:
    whole = model(**padded(LONG[:1], LONG_SECOND[:1]))
    differs = 0
    for place in range(20, 190, 10):
        ids = [*LONG[0]]
        ids[place] = 5 if ids[place] != 5 else 6
        differs += not torch.allclose(model(**padded([ids], LONG_SECOND[:1])), whole, atol=1e-6)
    assert differs == 17  # only 100 of 200 tokens are carried on


def test_half_and_a_fifth_are_kept_and_all_of_a_few() -> None:
    mask = (torch.arange(256)[None] < torch.tensor([1, 64, 128, 129, 200, 256])[:, None]).long()
    assert kept_places(mask, SORTED).sum(1).tolist() == [64, 64, 64, 65, 100, 128]
    assert kept_places(mask, CUT).sum(1).tolist() == [32, 32, 32, 32, 40, 52]
    assert kept_places(mask[:2, :20], SORTED).shape == (2, 20)
