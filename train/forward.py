"""The decoder's forward pass as training wants it: several questions behind one shared run of passages, in one row.

A row holds a prefix (system message and passages) once, then branches (a question and its answer), each of which sees
the prefix and itself alone, at the positions it would have on its own: the logits are those of separate prompts, at a
fraction of their tokens. Attention is written out, in bf16 two to three times as fast on a CPU, with gradient, as
torch's fused kernel given a mask (600 tokens, 9 heads: 43 ms against 98 to 111). Three fifths of a step's time go
outside matrix products, to norms, rotations and sums, which torch.compile fuses: see `compiled_block`.

Letters in shape comments as in lm/model.py, and M tokens whose next one is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from lm.model import Attention, Block, Decoder, rotary_angles, rotate

PADDING = -1
PREFIX = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of equal length and what is to be learnt from them.

    ids, positions, branches: (B, T) int64; a token's branch is PREFIX, 1 and up, or PADDING. at: (M,) int64, which of
    the B * T tokens have a target; targets: (M,) int64, the token after each; weights: (M,) fp32, their share in the
    loss. examples: how many answers that is.
    """

    ids: Tensor
    positions: Tensor
    branches: Tensor
    at: Tensor
    targets: Tensor
    weights: Tensor
    examples: int

    @property
    def tokens(self) -> int:
        """Tokens of all rows, padding left out."""
        return int((self.branches != PADDING).sum())

    def to(self, device: str) -> Batch:
        """The batch on ``device``."""
        names = ("ids", "positions", "branches", "at", "targets", "weights")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


BlockForward = Callable[[Block, Tensor, tuple[Tensor, Tensor], Tensor], Tensor]


def plain_block(block: Block, x: Tensor, angles: tuple[Tensor, Tensor], bias: Tensor) -> Tensor:
    """One layer over packed rows: x (B, T, C) -> (B, T, C), ``bias`` as `branch_bias` gives it."""
    x = x + _attention(block.self_attn, block.input_layernorm(x), angles, bias)
    return x + block.mlp(block.post_attention_layernorm(x))  # type: ignore[no-any-return]


def compiled_block() -> BlockForward:
    """`plain_block`, compiled once for all layers and lengths: two minutes at the first step, then 1.4 times as fast.

    Needs a C++ compiler. Sums are taken in another order, so results differ from `plain_block` by rounding.
    """
    return torch.compile(plain_block, dynamic=True)


def packed_logits(model: Decoder, batch: Batch, block_forward: BlockForward = plain_block) -> Tensor:
    """Logits (M, V) in fp32 for the tokens after those in ``batch.at``."""
    trunk = model.model
    x = trunk.embed_tokens(batch.ids)  # (B, T, C)
    angles = rotary_angles(batch.positions, model.config, x.dtype)
    bias = branch_bias(batch.branches).to(x.dtype)
    for block in trunk.layers:
        x = block_forward(cast(Block, block), x, angles, bias)
    x = trunk.norm(x).flatten(0, 1).index_select(0, batch.at)  # (M, C)
    return model.lm_head(x).float()  # type: ignore[no-any-return]


def branch_bias(branches: Tensor) -> Tensor:
    """0 where a token (axis T) sees another, -inf where not: later, or of another branch; (B, 1, T, T) fp32.

    Padding sees itself, so that its softmax has a term.
    """
    length = branches.shape[1]
    own, other = branches[:, :, None], branches[:, None, :]  # (B, T, 1), (B, 1, T)
    causal = torch.ones(length, length, dtype=torch.bool, device=branches.device).tril()  # (T, T)
    seen = causal & ((other == PREFIX) | (other == own))  # (B, T, T)
    return torch.zeros(seen.shape, device=branches.device).masked_fill(~seen, float("-inf"))[:, None]


def weighted_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Cross entropy in nats, the mean over tokens by their weights."""
    losses = F.cross_entropy(logits, batch.targets, reduction="none")  # (M,)
    return (losses * batch.weights).sum() / batch.weights.sum()


def _attention(layer: Attention, x: Tensor, angles: tuple[Tensor, Tensor], bias: Tensor) -> Tensor:
    batch, length, _ = x.shape
    width = layer.head_dim
    q = layer.q_proj(x).view(batch, length, -1, width).transpose(1, 2)  # (B, H, T, D)
    k = layer.k_proj(x).view(batch, length, -1, width).transpose(1, 2)  # (B, G, T, D)
    v = layer.v_proj(x).view(batch, length, -1, width).transpose(1, 2)  # (B, G, T, D)
    if x.is_cuda:  # there the fused kernel is the faster one, and keeps no (T, T) matrices for the way back
        q, k = rotate(q, *angles), rotate(k, *angles)
        # Copies, not enable_gqa: with a mask that has no fused kernel.
        k, v = k.repeat_interleave(layer.share, 1), v.repeat_interleave(layer.share, 1)  # (B, H, T, D)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)  # (B, H, T, D)
        return layer.o_proj(mixed.transpose(1, 2).reshape(batch, length, -1))  # type: ignore[no-any-return]
    q, k = rotate(q, *angles) * width**-0.5, rotate(k, *angles)
    heads, groups = q.shape[1], k.shape[1]
    # The R query heads of a group stand below each other, so keys and values need no copies.
    q = q.reshape(batch * groups, -1, width)  # (B G, R T, D)
    scores = torch.bmm(q, k.reshape(batch * groups, length, width).transpose(1, 2))  # (B G, R T, T)
    shares = torch.softmax(scores.view(batch, heads, length, length) + bias, dim=-1)  # (B, H, T, T)
    mixed = torch.bmm(shares.view(batch * groups, -1, length), v.reshape(batch * groups, length, width))
    mixed = mixed.view(batch, heads, length, width).transpose(1, 2)  # (B, T, H, D)
    return layer.o_proj(mixed.reshape(batch, length, -1))  # type: ignore[no-any-return]
