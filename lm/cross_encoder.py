"""A BERT that reads question and passage together and gives two logits: relevant, answers.

Most of a passage has nothing to do with the question, and after a look at all of it need not be carried on. The second
layer still reads every token, but goes on with those alone that the question attends to: two fifths, 64 at least
(as PoWER-BERT does, Goyal et al., ICML 2020, which drops a few at every layer). And the head reads the first token's
state after the last layer and the mean of all states before it, so that the last layer is computed for one token.

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

PRUNED_LAYER = 1  # counted from 0
KEPT_OF_FIVE, KEPT_LEAST = 2, 64
_ASKING = 32  # tokens from the start whose attention counts: more of a long question would only cost time
_FIRST, _ASKED = 1e6, 1e4  # above all attention there is, H times _ASKING: the first token comes first, then a question


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
        mask = attention_mask
        for number, layer in enumerate(layers):
            asking, asking_mask = states, mask
            if number == PRUNED_LAYER:
                asking, asking_mask = pruned(layer, states, mask, token_type_ids)  # (S, K, C), (S, K)
            states, mask = run_layer(layer, asking, states, mask), asking_mask
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


def pruned(layer: BertLayer, states: Tensor, mask: Tensor, types: Tensor) -> tuple[Tensor, Tensor]:
    """Of states (S, T, C), mask and types (S, T), those to go on with, (S, K, C), and their mask (S, K).

    The first token stays the first; a question is kept before its passage. How many tokens a pair keeps depends on its
    own length, not on its padding.
    """
    asked = mask * (1 - types)  # (S, T), 1 for the question
    weight = attention_of(layer, states, mask, asked) + _ASKED * asked  # (S, T)
    first = (torch.arange(weight.shape[1], device=weight.device) == 0) * _FIRST  # (T,)
    width = torch.as_tensor(states.shape[1])
    places = (weight + first).topk(cast(int, torch.minimum(width, kept_count(width))), dim=1).indices  # (S, K)
    kept = torch.arange(places.shape[1], device=mask.device)[None] < kept_count(mask.sum(1, keepdim=True))  # (S, K)
    gathered = states.gather(1, places[:, :, None].expand(-1, -1, states.shape[2]))  # (S, K, C)
    return gathered, mask.gather(1, places) * kept


def kept_count(lengths: Tensor) -> Tensor:
    """How many tokens are kept of so many, all of few."""
    return ((lengths * KEPT_OF_FIVE + 4) // 5).clamp_min(KEPT_LEAST)


def attention_of(layer: BertLayer, states: Tensor, mask: Tensor, asked: Tensor) -> Tensor:
    """How much the question's tokens among the first ones attend to each token in this layer: (S, T), all heads' sum.

    states (S, T, C), mask and ``asked`` (S, T).
    """
    attention = layer.attention.self
    query = _heads(layer, attention.query(states[:, :_ASKING]) / attention.attention_head_size**0.5)  # (S, H, Q, D)
    key = _heads(layer, attention.key(states))  # (S, H, T, D)
    logits = query @ key.transpose(-1, -2) + (mask[:, None, None] - 1) * 1e4  # (S, H, Q, T)
    return (logits.softmax(-1) * asked[:, None, :_ASKING, None]).sum((1, 2))


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
