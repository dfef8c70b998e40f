"""A BERT that reads question and passage together and gives two logits: relevant, answers.

The head reads the first token's state after the last layer, and the mean of all tokens' states before it. So the last
layer is computed for one token of some two hundred, which leaves out a seventh of the work.

Letters: S pairs, T tokens, C channels, H heads, D channels of a head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import BertModel


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
        states = states_before_last(self.bert, input_ids, attention_mask, token_type_ids)  # (S, T, C)
        first = first_of_last(self.bert, states, attention_mask)  # (S, C)
        with torch.autocast(states.device.type, enabled=False):  # every digit of so few weights counts
            return cast(Tensor, self.head(head_inputs(first, states, attention_mask)))


def states_before_last(bert: BertModel, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    """The states (S, T, C) of all tokens after every layer but the last."""
    from transformers.masking_utils import create_bidirectional_mask

    states = bert.embeddings(input_ids=input_ids, token_type_ids=token_type_ids)  # (S, T, C)
    seen = create_bidirectional_mask(config=bert.config, inputs_embeds=states, attention_mask=attention_mask)
    for layer in bert.encoder.layer[:-1]:
        states = layer(states, seen)
    return cast(Tensor, states)


def first_of_last(bert: BertModel, states: Tensor, attention_mask: Tensor) -> Tensor:
    """What the last layer makes of the first token, (S, C), given all states (S, T, C) before it."""
    last = bert.encoder.layer[-1]
    attention = last.attention.self
    parts = (attention.num_attention_heads, attention.attention_head_size)
    first = states[:, :1]  # (S, 1, C)
    query = attention.query(first).unflatten(-1, parts).transpose(1, 2)  # (S, H, 1, D)
    key = attention.key(states).unflatten(-1, parts).transpose(1, 2)  # (S, H, T, D)
    value = attention.value(states).unflatten(-1, parts).transpose(1, 2)  # (S, H, T, D)
    mixed = F.scaled_dot_product_attention(query, key, value, attention_mask[:, None, None].bool())  # (S, H, 1, D)
    attended = last.attention.output(mixed.transpose(1, 2).flatten(2), first)  # (S, 1, C)
    return cast(Tensor, last.feed_forward_chunk(attended)[:, 0])


def head_inputs(first: Tensor, states: Tensor, attention_mask: Tensor) -> Tensor:
    """What the head reads, (S, 2C), fp32: first (S, C), and the mean of states (S, T, C) over tokens, not padding."""
    return torch.cat([first.float(), mean_states(states.float(), attention_mask)], dim=1)


def mean_states(states: Tensor, mask: Tensor) -> Tensor:
    """Mean over tokens that are no padding: states (S, T, C), mask (S, T) -> (S, C)."""
    weights = mask[..., None].to(states.dtype)  # (S, T, 1)
    return (states * weights).sum(1) / weights.sum(1)
