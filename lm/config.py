"""The shape of a decoder, and its config.json in the Hugging Face LlamaConfig layout.

No torch here: the OpenVINO engine reads the same file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm.errors import CheckpointBroken, CheckpointMissing

FILE_NAME = "config.json"

# What the decoder does, under LlamaConfig's names: a config that says otherwise describes another model.
_FIXED: dict[str, Any] = {
    "model_type": "llama",
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "rope_scaling": None,
}


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """Sizes of a Llama-family decoder; names as in Hugging Face's LlamaConfig, except ``window``.

    ``window`` is the most tokens a sequence may have (max_position_embeddings). ``tie_word_embeddings``: the output
    head is the embedding matrix. Raises ValueError when the sizes do not fit each other.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    window: int
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5
    tie_word_embeddings: bool = True
    bos_token_id: int | None = None
    eos_token_id: int | None = None

    def __post_init__(self) -> None:
        for name in (
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "head_dim",
            "window",
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}, expected a whole number of at least 1")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"{self.num_attention_heads} query heads cannot share {self.num_key_value_heads} key/value heads evenly"
            )
        if self.head_dim % 2:
            raise ValueError(f"head_dim is {self.head_dim}, but rotary positions turn pairs of dimensions")
        if not (self.rope_theta > 0 and self.rms_norm_eps > 0):
            raise ValueError(f"rope_theta {self.rope_theta} and rms_norm_eps {self.rms_norm_eps} must be above 0")


def write_config(config: DecoderConfig, folder: Path) -> None:
    """Write config.json so that transformers' LlamaForCausalLM loads the folder."""
    fields = {
        **{name: value for name, value in _FIXED.items() if value is not None},
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.window,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_theta": config.rope_theta, "rope_type": "default"},
        "rms_norm_eps": config.rms_norm_eps,
        "tie_word_embeddings": config.tie_word_embeddings,
        "bos_token_id": config.bos_token_id,
        "eos_token_id": config.eos_token_id,
    }
    (folder / FILE_NAME).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def read_config(folder: Path) -> DecoderConfig:
    """Read ``folder``/config.json.

    Raises CheckpointMissing when there is none, CheckpointBroken when it is not JSON, lacks a size, or asks for
    something the decoder does not do (another architecture, biases, scaled rotary positions).
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise CheckpointMissing(f"{path}: no such file; bring the model's folder again")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointBroken(f"{path}: not readable as JSON ({error}); bring the model's folder again") from error
    if not isinstance(fields, dict):
        raise CheckpointBroken(f"{path}: holds {type(fields).__name__}, not an object; bring the model's folder again")
    return _from_fields(fields, path)


def _from_fields(fields: dict[str, Any], path: Path) -> DecoderConfig:
    for name, expected in _FIXED.items():
        if fields.get(name, expected) != expected:
            raise CheckpointBroken(
                f"{path}: {name} is {fields[name]!r}, this decoder runs only {expected!r}; use a plain Llama checkpoint"
            )
    rope = fields.get("rope_parameters") or {}
    try:
        if rope.get("rope_type", "default") != "default":
            raise ValueError(f"rope_type {rope['rope_type']!r} is not run by this decoder")
        heads = fields["num_attention_heads"]
        return DecoderConfig(
            vocab_size=fields["vocab_size"],
            hidden_size=fields["hidden_size"],
            intermediate_size=fields["intermediate_size"],
            num_hidden_layers=fields["num_hidden_layers"],
            num_attention_heads=heads,
            num_key_value_heads=fields.get("num_key_value_heads") or heads,
            head_dim=fields.get("head_dim") or fields["hidden_size"] // heads,
            window=fields["max_position_embeddings"],
            rope_theta=float(rope.get("rope_theta") or fields.get("rope_theta", 10000.0)),
            rms_norm_eps=float(fields.get("rms_norm_eps", 1e-6)),
            tie_word_embeddings=bool(fields.get("tie_word_embeddings", False)),
            bos_token_id=fields.get("bos_token_id"),
            eos_token_id=fields.get("eos_token_id"),
        )
    except KeyError as error:
        raise CheckpointBroken(f"{path}: {error.args[0]} is missing; bring the model's folder again") from error
    except (TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise CheckpointBroken(f"{path}: {error}; bring the model's folder again") from error
