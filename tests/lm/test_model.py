"""The decoder against transformers' LlamaForCausalLM, against textbook attention, and against itself with a cache."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from lm.model import Attention, Decoder, DecoderConfig, KVCache, attention_bias, positions_of, rotary_angles


def reference(config: DecoderConfig) -> LlamaForCausalLM:
    """transformers' model of the same sizes, random weights."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            max_position_embeddings=config.window,
            rope_parameters={"rope_theta": config.rope_theta, "rope_type": "default"},
            rms_norm_eps=config.rms_norm_eps,
            tie_word_embeddings=config.tie_word_embeddings,
            pad_token_id=0,
        )
    ).eval()


def some_ids(config: DecoderConfig, *shape: int) -> torch.Tensor:
    return torch.randint(3, config.vocab_size, shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("theta", [10000.0, 100000.0])
def test_logits_are_those_of_transformers(tiny_config: DecoderConfig, tied: bool, theta: float) -> None:
    torch.manual_seed(3)
    config = replace(tiny_config, tie_word_embeddings=tied, rope_theta=theta)
    theirs = reference(config)
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    ours = Decoder(config).eval()
    ours.load_state_dict(theirs.state_dict())
    ids = some_ids(config, 3, 40)
    with torch.no_grad():
        assert (ours(ids) - theirs(ids).logits).abs().max() < 1e-4


def test_state_dict_loads_into_transformers(tiny_model: Decoder) -> None:
    theirs = reference(tiny_model.config)
    theirs.load_state_dict(tiny_model.state_dict())
    ids = some_ids(tiny_model.config, 1, 30)
    with torch.no_grad():
        assert (tiny_model(ids) - theirs(ids).logits).abs().max() < 1e-4


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_batch_agrees_with_transformers_and_with_each_row_alone(tiny_model: Decoder, side: str) -> None:
    theirs = reference(tiny_model.config)
    theirs.load_state_dict(tiny_model.state_dict())
    ids = some_ids(tiny_model.config, 3, 20)
    mask = torch.ones_like(ids, dtype=torch.bool)
    for row, padding in enumerate((0, 5, 13)):
        mask[row, slice(0, padding) if side == "left" else slice(20 - padding, 20)] = False
    with torch.no_grad():
        ours = tiny_model(ids, mask)
        positions = positions_of(ids, mask, 0)
        other = theirs(ids, attention_mask=mask.long(), position_ids=positions).logits
        assert torch.isfinite(ours).all()
        assert (ours - other)[mask].abs().max() < 1e-4
        for row in range(3):
            alone = tiny_model(ids[row : row + 1, mask[row]])[0]
            assert (ours[row, mask[row]] - alone).abs().max() < 1e-4


def test_attention_is_softmax_of_scaled_products_with_shared_heads(tiny_config: DecoderConfig) -> None:
    torch.manual_seed(5)
    layer = Attention(tiny_config, 0)
    x = torch.randn(2, 11, tiny_config.hidden_size)
    none = rotary_angles(torch.zeros(2, 11, dtype=torch.int64), tiny_config, x.dtype)  # position 0 turns by 0
    with torch.no_grad():
        q, k, v = layer.q_proj(x), layer.k_proj(x), layer.v_proj(x)
        expected = torch.empty(2, 11, 48)
        for head in range(6):
            own, shared = slice(8 * head, 8 * head + 8), slice(8 * (head // 3), 8 * (head // 3) + 8)
            scores = q[..., own] @ k[..., shared].mT / math.sqrt(8)
            scores = scores.masked_fill(torch.ones(11, 11).triu(1).bool(), -math.inf)
            expected[..., own] = scores.softmax(-1) @ v[..., shared]
        assert torch.allclose(layer(x, none, None, None), layer.o_proj(expected), atol=1e-5)


def test_rotary_scores_depend_on_distance_alone(tiny_model: Decoder) -> None:
    ids = some_ids(tiny_model.config, 1, 12)
    padded = F.pad(ids, (30, 0))
    mask = F.pad(torch.ones_like(ids), (30, 0)).bool()
    with torch.no_grad():
        # Without the mask's own positions: token 0 stands at position 30.
        shifted = tiny_model(padded, mask)[:, 30:]
        assert (shifted - tiny_model(ids)).abs().max() < 1e-4


@pytest.mark.parametrize("pieces", [[1] * 24, [10, 1, 1, 12], [23, 1], [24]])
def test_cached_decoding_equals_the_full_forward(tiny_model: Decoder, pieces: list[int]) -> None:
    ids = some_ids(tiny_model.config, 2, 24)
    cache = KVCache(tiny_model.config, capacity=24, batch=2)
    with torch.no_grad():
        grown = [tiny_model(piece, cache=cache) for piece in torch.split(ids, pieces, dim=1)]
        assert cache.length == 24
        assert (torch.cat(grown, 1) - tiny_model(ids)).abs().max() < 1e-4


def test_cached_decoding_of_a_left_padded_batch(tiny_model: Decoder) -> None:
    ids = some_ids(tiny_model.config, 2, 16)
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[1, :6] = False
    cache = KVCache(tiny_model.config, capacity=16, batch=2)
    with torch.no_grad():
        grown = [tiny_model(ids[:, :12], mask[:, :12], cache)]
        grown += [tiny_model(ids[:, i : i + 1], mask[:, : i + 1], cache) for i in range(12, 16)]
        assert (torch.cat(grown, 1) - tiny_model(ids, mask))[mask].abs().max() < 1e-4


def test_only_the_asked_positions(tiny_model: Decoder) -> None:
    ids = some_ids(tiny_model.config, 2, 9)
    with torch.no_grad():
        assert torch.allclose(tiny_model(ids, at=torch.tensor([8, 2])), tiny_model(ids)[:, [8, 2]], atol=1e-5)


def test_mask_is_none_where_causal_says_it_all() -> None:
    ids = torch.zeros(1, 4, dtype=torch.int64)
    assert attention_bias(ids, None, 0, torch.float32) is None
    assert attention_bias(ids[:, :1], None, 7, torch.float32) is None
    later = attention_bias(ids, None, 2, torch.float32)
    assert later is not None
    seen = [[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 0], [1] * 6]
    assert later[0, 0].tolist() == [[0.0 if each else float("-inf") for each in row] for row in seen]


def test_it_can_be_trained(tiny_config: DecoderConfig) -> None:
    torch.manual_seed(11)
    model = Decoder(tiny_config)
    ids = some_ids(tiny_config, 2, 20)

    def loss() -> torch.Tensor:
        return F.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())

    first = loss()
    assert abs(first.item() - math.log(tiny_config.vocab_size)) < 0.2  # fresh weights know nothing
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(20):
        optimiser.zero_grad()
        torch.autograd.backward(loss())
        assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())
        optimiser.step()
    assert loss().item() < first.item() / 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_key_value_heads": 4}, "6 query heads cannot share 4"),
        ({"head_dim": 7}, "head_dim is 7"),
        ({"window": 0}, "window is 0"),
        ({"hidden_size": "48"}, "hidden_size is '48'"),
        ({"rms_norm_eps": 0.0}, "rms_norm_eps 0.0"),
    ],
)
def test_sizes_that_do_not_fit(tiny_config: DecoderConfig, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(tiny_config, **change)
