"""A BERT that reads question and passage together and gives two logits: relevant, answers.

Most of a passage has nothing to do with the question, and after a look at all of it need not be carried on. The second
layer still reads every token, but goes on with the half that the question attends to most, and the fourth with the
first fifth of those. (PoWER-BERT, Goyal et al., ICML 2020, drops some at every layer, by what all tokens attend to.)
And the head reads the first token's state after the last layer and the mean of the states before it, so that the last
layer is computed for one token.

Letters: S pairs, T tokens, K tokens kept, Q tokens that attend, C channels, H heads, D channels of a head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import BertModel
    from transformers.models.bert.modeling_bert import BertLayer

SORTED, CUT = 1, 3  # layers, counted from 0
KEPT = {SORTED: (2, 5, 64), CUT: (1, 5, 32)}  # the share, as numerator and denominator, of a pair's tokens; the least
_ASKING = 32  # tokens from the start whose attention counts: more of a long question would only cost time
_FIRST = 1e4  # above all attention there is, H times _ASKING: the first token stays the first


class CrossEncoder(nn.Module):
    """The encoder ``bert``, without pooler, and a linear layer, whose random start follows ``seed``."""

    def __init__(self, bert: BertModel, seed: int = 0) -> None:
        super().__init__()
        self.bert = bert
        width = int(bert.config.hidden_size)
        torch.manual_seed(seed)
        self.head = nn.Linear(2 * width, 2)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """All inputs (S, T). Logits (S, 2), fp32: relevant, answers."""
        *layers, last = cast("list[BertLayer]", self.bert.encoder.layer)
        states = self.bert.embeddings(input_ids=input_ids, token_type_ids=token_type_ids)  # (S, T, C)
        mask, asked = attention_mask, attention_mask * (1 - token_type_ids)  # (S, T)
        for number, layer in enumerate(layers):
            asking, kept = states, mask
            if number == SORTED:
                places = most_attended(layer, states, mask, asked)  # (S, K)
                asking = states.gather(1, places[:, :, None].expand(-1, -1, states.shape[2]))  # (S, K, C)
                kept = mask.gather(1, places) * kept_places(attention_mask, number)
            elif number == CUT:
                kept = kept_places(attention_mask, number)  # (S, K)
                asking = states[:, : kept.shape[1]]
                kept = mask[:, : kept.shape[1]] * kept
            states, mask = run_layer(layer, asking, states, mask), kept
        first = run_layer(last, states[:, :1], states, mask)[:, 0]  # (S, C)
        with torch.autocast(states.device.type, enabled=False):  # every digit of so few weights counts
            return cast(Tensor, self.head(head_inputs(first, states, mask)))


def run_layer(layer: BertLayer, asking: Tensor, read: Tensor, mask: Tensor) -> Tensor:
    """What the layer makes of the states ``asking`` (S, Q, C), which attend to ``read`` (S, T, C), mask (S, T)."""
    attention = layer.attention.self
    query, key, value = (
        _heads(layer, linear(states))  # (S, H, Q or T, D)
        for linear, states in ((attention.query, asking), (attention.key, read), (attention.value, read))
    )
    mixed = F.scaled_dot_product_attention(query, key, value, mask[:, None, None].bool())  # (S, H, Q, D)
    attended = layer.attention.output(mixed.transpose(1, 2).flatten(2), asking)  # (S, Q, C)
    return cast(Tensor, layer.feed_forward_chunk(attended))


def most_attended(layer: BertLayer, states: Tensor, mask: Tensor, asked: Tensor) -> Tensor:
    """The places of the tokens to go on with, (S, K): the first one, then those that the question attends to most.

    states (S, T, C); mask and ``asked``, which is 1 for the question's tokens, (S, T).
    """
    attention = layer.attention.self
    query = _heads(layer, attention.query(states[:, :_ASKING]) / attention.attention_head_size**0.5)  # (S, H, Q, D)
    key = _heads(layer, attention.key(states))  # (S, H, T, D)
    logits = query @ key.transpose(-1, -2) + (mask[:, None, None] - 1) * 1e4  # (S, H, Q, T)
    paid = (logits.softmax(-1) * asked[:, None, :_ASKING, None]).sum((1, 2))  # (S, T)
    first = (torch.arange(paid.shape[1], device=paid.device) == 0) * _FIRST  # (T,)
    return (paid + first).topk(cast(int, kept_width(mask, SORTED)), dim=1).indices


def kept_width(mask: Tensor, number: int) -> Tensor:
    """How many tokens, (), of the longest pair that the mask (S, T) of all tokens has room for."""
    width = torch.as_tensor(mask.shape[1])
    return torch.minimum(width, _kept(width, number))


def kept_places(mask: Tensor, number: int) -> Tensor:
    """Whether each of the K first places is kept, (S, K): by a pair's own length, whatever its padding."""
    places = torch.arange(cast(int, kept_width(mask, number)), device=mask.device)  # (K,)
    return (places[None] < _kept(mask.sum(1, keepdim=True), number)).to(mask.dtype)


def _kept(lengths: Tensor, number: int) -> Tensor:
    share, of, least = KEPT[number]
    return ((lengths * share + of - 1) // of).clamp_min(least)


def _heads(layer: BertLayer, states: Tensor) -> Tensor:
    """(S, T, C) -> (S, H, T, D)."""
    attention = layer.attention.self
    parts = (attention.num_attention_heads, attention.attention_head_size)
    return states.view(*states.shape[:2], *parts).transpose(1, 2)


def head_inputs(first: Tensor, states: Tensor, mask: Tensor) -> Tensor:
    """What the head reads, (S, 2C), fp32: first (S, C), and the mean of states (S, T, C) over tokens, not padding."""
    return torch.cat([first.float(), mean_states(states.float(), mask)], dim=1)


def mean_states(states: Tensor, mask: Tensor) -> Tensor:
    """Mean over tokens that are no padding: states (S, T, C), mask (S, T) -> (S, C)."""
    weights = mask[..., None].to(states.dtype)  # (S, T, 1)
    return (states * weights).sum(1) / weights.sum(1)
