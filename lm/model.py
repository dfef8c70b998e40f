"""The decoder, all of it: the Llama family's transformer, small enough to read in one sitting.

RMSNorm (Zhang and Sennrich 2019), rotary positions (Su et al. 2021), grouped-query attention (Ainslie et al. 2023),
SwiGLU (Shazeer 2020), tied embeddings (Press and Wolf 2017). Modules are named as in Hugging Face's LlamaForCausalLM,
so that a state dict of either loads into the other; logits agree with it to rounding.

Letters in shape comments
    B  sequences                C  hidden size          H  query heads           D  width of a head
    T  tokens of this call      F  width of the MLP     G  key/value heads       V  vocabulary
    P  tokens in the cache      N  positions asked for  R  query heads a key/value head (H = G R)
    S  = P + T, all tokens the last one sees
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm.config import DecoderConfig

__all__ = ["Cache", "Decoder", "DecoderConfig", "KVCache"]

_INIT_STD = 0.02


class Cache(Protocol):
    """Keys and values of earlier tokens. The export has its own, whose tensors are inputs of the traced graph."""

    @property
    def length(self) -> int:
        """Tokens held (P)."""

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Take the layer's new (B, G, T, D) pair and return all of it so far, (B, G, S, D)."""


class KVCache:
    """Room for ``capacity`` tokens of keys and values, filled from the front. For inference only: writes in place."""

    def __init__(self, config: DecoderConfig, capacity: int, batch: int = 1, like: Tensor | None = None) -> None:
        shape = (config.num_hidden_layers, 2, batch, config.num_key_value_heads, capacity, config.head_dim)
        self._room = torch.empty(shape) if like is None else torch.empty(shape, dtype=like.dtype, device=like.device)
        self._layers = config.num_hidden_layers
        self.length = 0

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Take the layer's new (B, G, T, D) pair and return all of it so far, (B, G, S, D)."""
        end = self.length + keys.shape[2]
        pair = self._room[layer, :, :, :, :end]
        pair[0, :, :, self.length :] = keys
        pair[1, :, :, self.length :] = values
        if layer == self._layers - 1:
            self.length = end
        return pair[0], pair[1]

    def pick(self, rows: Tensor) -> None:
        """Go on with ``rows`` (int64) of the batch, each any number of times."""
        self._room = self._room[:, :, rows]


class RMSNorm(nn.Module):
    """Divide by the root mean square over the last axis, computed in fp32, and scale each dimension."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(x.dtype)


def rotary_angles(positions: Tensor, config: DecoderConfig, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and sine, each (B, 1, T, D), of the angles by which ``positions`` (B, T) turn queries and keys.

    Dimension i and i + D/2 are one pair, turned by position * theta^(-2i/D). Computed in fp32 whatever ``dtype`` is:
    bf16 cannot tell position 513 from 514.
    """
    half = torch.arange(0, config.head_dim, 2, dtype=torch.float32, device=positions.device)  # (D/2,)
    frequencies = 1.0 / config.rope_theta ** (half / config.head_dim)  # (D/2,)
    angles = positions[:, None, :, None].float() * frequencies  # (B, 1, T, D/2)
    angles = torch.cat((angles, angles), dim=-1)  # (B, 1, T, D)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair of dimensions of ``x`` (B, heads, T, D) by its position's angle."""
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]  # (B, heads, T, D/2) each
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    """Causal self-attention in which R query heads share one key/value head."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_dim = config.head_dim
        self.share = config.num_attention_heads // config.num_key_value_heads
        queries = config.num_attention_heads * config.head_dim
        pairs = config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, queries, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, pairs, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, pairs, bias=False)
        self.o_proj = nn.Linear(queries, config.hidden_size, bias=False)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], bias: Tensor | None, cache: Cache | None) -> Tensor:
        """(B, T, C) -> (B, T, C). ``bias`` is as `attention_bias` returns it."""
        batch, length, _ = x.shape
        q = self.q_proj(x).view(batch, length, -1, self.head_dim).transpose(1, 2)  # (B, H, T, D)
        k = self.k_proj(x).view(batch, length, -1, self.head_dim).transpose(1, 2)  # (B, G, T, D)
        v = self.v_proj(x).view(batch, length, -1, self.head_dim).transpose(1, 2)  # (B, G, T, D)
        q, k = rotate(q, *angles), rotate(k, *angles)
        if cache is not None:
            k, v = cache.append(self.layer, k, v)  # (B, G, S, D)
        k, v = self._share(k), self._share(v)  # (B, H, S, D)
        causal = bias is None and length > 1
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=causal)  # (B, H, T, D)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, length, -1))  # type: ignore[no-any-return]

    def _share(self, x: Tensor) -> Tensor:
        # Expand and reshape, not enable_gqa: OpenVINO's fusion of cache and attention knows this pattern.
        batch, groups, length, width = x.shape
        x = x[:, :, None].expand(batch, groups, self.share, length, width)  # (B, G, R, S, D)
        return x.reshape(batch, groups * self.share, length, width)  # (B, H, S, D)


class MLP(nn.Module):
    """SwiGLU: two wide projections, one of them through SiLU as the gate of the other."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        wide = F.silu(self.gate_proj(x)) * self.up_proj(x)  # (B, T, F)
        return self.down_proj(wide)  # type: ignore[no-any-return]


class Block(nn.Module):
    """One layer: attention, then MLP, each on a normalised copy and added back."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.self_attn = Attention(config, layer)
        self.mlp = MLP(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], bias: Tensor | None, cache: Cache | None) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = x + self.self_attn(self.input_layernorm(x), angles, bias, cache)
        return x + self.mlp(self.post_attention_layernorm(x))  # type: ignore[no-any-return]


class Trunk(nn.Module):
    """Everything below the output head; apart only because LlamaForCausalLM names it ``model``."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, ids: Tensor, mask: Tensor | None, cache: Cache | None) -> Tensor:
        """(B, T) -> (B, T, C); arguments as in `Decoder.forward`."""
        past = 0 if cache is None else cache.length
        x = self.embed_tokens(ids)  # (B, T, C)
        angles = rotary_angles(positions_of(ids, mask, past), self.config, x.dtype)
        bias = attention_bias(ids, mask, past, x.dtype)
        for block in self.layers:
            x = block(x, angles, bias, cache)
        return self.norm(x)  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """The language model: token ids to a score for every possible next token."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.tie()
        self.apply(_initialise)

    def tie(self) -> None:
        """Make the output head the embedding matrix again, where the config says so (after loading, moving)."""
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(
        self, ids: Tensor, mask: Tensor | None = None, cache: Cache | None = None, at: Tensor | None = None
    ) -> Tensor:
        """Logits (B, N, V) for the token after each position in ``at``.

        ids: (B, T) int64. mask: (B, S) bool, False where a token is padding, left or right; None means no padding.
        cache: keys and values of P earlier tokens, extended by this call. at: (N,) int64 indices into T, or None for
        all T: decoding asks for the last position alone, since V is most of the work of a short call.
        """
        x = self.model(ids, mask, cache)  # (B, T, C)
        if at is not None:
            x = x.index_select(1, at)  # (B, N, C)
        return self.lm_head(x)  # type: ignore[no-any-return]


def positions_of(ids: Tensor, mask: Tensor | None, past: int) -> Tensor:
    """Position of each token of ``ids`` (B, T) in its sequence, padding not counted; (B, T) int64."""
    length = ids.shape[1]
    if mask is None:
        return torch.arange(past, past + length, device=ids.device).expand(ids.shape[0], length)
    return (mask.long().cumsum(1) - 1).clamp(min=0)[:, -length:]


def attention_bias(ids: Tensor, mask: Tensor | None, past: int, dtype: torch.dtype) -> Tensor | None:
    """0 where a token (axis T) may look at another (axis S), -inf where not: later, or padding; (B, 1, T, S).

    None stands for plainly causal. A token always sees itself, so that padding on the left, which sees nothing else,
    gives numbers to ignore and not NaN. Numbers and not truth values, with which OpenVINO's attention is several times
    slower.
    """
    length = ids.shape[1]
    if mask is None and (past == 0 or length == 1):
        return None
    rows = torch.arange(past, past + length, device=ids.device)[:, None]  # (T, 1)
    columns = torch.arange(past + length, device=ids.device)[None, :]  # (1, S)
    causal = columns <= rows  # (T, S)
    seen = causal[None, None] if mask is None else (causal & mask[:, None, None, :].bool()) | (columns == rows)
    return torch.zeros(seen.shape, dtype=dtype, device=ids.device).masked_fill(~seen, float("-inf"))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=_INIT_STD)
