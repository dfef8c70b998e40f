"""Low-rank adapters (LoRA, Hu et al. 2021) on every linear layer of the decoder: training, files, merging.

    y = x W' + (alpha / r) x A' B'        A (r, in) random, B (out, r) zero at the start, W frozen

An adapter folder has adapter_model.safetensors and adapter_config.json, with the names and fields of the peft package,
and one field more: ``base_sha256``, a hash of the weights that the adapter was trained on. It fits no others.

Letters in shape comments: I width in, O width out, r rank, ... any leading axes.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lm.checkpoint import load, save
from lm.errors import CheckpointBroken, CheckpointMissing
from lm.model import Decoder
from lm.tokenizer import FILE_NAME as TOKENIZER_FILE

WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

_PREFIX = "base_model.model."


@dataclass(frozen=True, slots=True)
class LoraShape:
    """Rank of the update, its scale as alpha / rank, and the first layer that gets one (lower ones stay frozen)."""

    rank: int = 16
    alpha: float = 32.0
    first_layer: int = 0

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0 or self.first_layer < 0:
            raise ValueError(f"rank {self.rank}, alpha {self.alpha}, first layer {self.first_layer}: use 1, > 0, 0 up")

    @property
    def scale(self) -> float:
        """What B A is multiplied by."""
        return self.alpha / self.rank


class LoraLinear(nn.Module):
    """A frozen linear layer and its trainable update; ``lora_A`` and ``lora_B`` are kept in fp32 for the optimizer."""

    def __init__(self, base: nn.Linear, shape: LoraShape, draw: torch.Generator) -> None:
        super().__init__()
        rows, columns = base.weight.shape
        bound = 1 / math.sqrt(columns)  # what kaiming_uniform_(a=sqrt(5)) comes to, as in peft
        start = torch.empty(shape.rank, columns).uniform_(-bound, bound, generator=draw)  # (r, I)
        self.weight = base.weight
        self.weight.requires_grad_(False)
        self.lora_A = nn.Parameter(start)
        self.lora_B = nn.Parameter(torch.zeros(rows, shape.rank))  # (O, r)
        self.scale = shape.scale

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) -> (..., O), in the dtype of ``x``."""
        down = F.linear(x, self.lora_A.to(x.dtype))  # (..., r)
        return F.linear(x, self.weight) + F.linear(down, (self.lora_B * self.scale).to(x.dtype))  # (..., O)

    def delta(self) -> Tensor:
        """What the adapter adds to the weight, (O, I) fp32."""
        return self.lora_B @ self.lora_A * self.scale


def add_adapters(model: Decoder, shape: LoraShape, seed: int) -> None:
    """Freeze ``model`` and put a fresh adapter, which changes nothing yet, on each linear layer of the upper layers.

    Raises ValueError when there is no such layer.
    """
    if shape.first_layer >= model.config.num_hidden_layers:
        raise ValueError(f"first layer {shape.first_layer} of a model with {model.config.num_hidden_layers}: use less")
    model.requires_grad_(False)
    draw = torch.Generator().manual_seed(seed)
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear) and _is_target(name, shape.first_layer):
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, LoraLinear(layer, shape, draw))


def adapter_weights(model: Decoder) -> dict[str, nn.Parameter]:
    """The trainable weights by name, "model.layers.0.self_attn.q_proj.lora_A" and so on."""
    return {name: value for name, value in model.named_parameters() if name.endswith(("lora_A", "lora_B"))}


def fingerprint(model: Decoder) -> str:
    """SHA-256 over names, shapes and fp32 values of a model's weights, whatever dtype a file keeps them in.

    Raises ValueError for a model that carries an adapter: its weights have other names.
    """
    if adapter_weights(model):
        raise ValueError("the model carries an adapter; take the fingerprint of its base before adding one")
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().float().contiguous().numpy().data)
    return digest.hexdigest()


def save_adapter(model: Decoder, folder: Path, base_sha256: str, shape: LoraShape) -> None:
    """Write the adapter of ``model`` in bf16. An interrupted write leaves what was there before."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {_file_name(name): value.detach().bfloat16().cpu() for name, value in adapter_weights(model).items()}
    unfinished = folder / (WEIGHTS_FILE + ".part")
    save_file(weights, unfinished, metadata={"format": "pt"})
    (folder / CONFIG_FILE).write_text(json.dumps(_config(model, base_sha256, shape), indent=2) + "\n", encoding="utf-8")
    unfinished.chmod((folder / CONFIG_FILE).stat().st_mode)  # safetensors gives its files to their owner alone
    unfinished.replace(folder / WEIGHTS_FILE)


def load_adapter(model: Decoder, folder: Path, base_sha256: str) -> LoraShape:
    """Put the adapter in ``folder`` onto ``model``, whose weights have the hash ``base_sha256``.

    Raises CheckpointMissing when a file is not there, CheckpointBroken when one is cut short, when the adapter was
    trained on other weights, or when its shapes do not fit.
    """
    config = _read_config(folder, base_sha256)
    weights = _read_weights(folder)
    try:
        shape = LoraShape(int(config["r"]), float(config["lora_alpha"]), min(config["layers_to_transform"]))
        add_adapters(model, shape, seed=0)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointBroken(f"{folder / CONFIG_FILE}: {error!r}; bring the adapter again") from error
    targets = {_file_name(name): value for name, value in adapter_weights(model).items()}
    if (found := _shapes(weights)) != (expected := _shapes(targets)):
        wrong = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        raise CheckpointBroken(
            f"{folder / WEIGHTS_FILE}: {wrong[0]} is {found.get(wrong[0])}, expected "
            f"{expected.get(wrong[0])}; bring weights and config of one adapter"
        )
    with torch.no_grad():
        for name, target in targets.items():
            target.copy_(weights[name])
    return shape


def merge(base: Path, adapter: Path, out: Path) -> None:
    """Write ``base`` with ``adapter`` added into its weights to ``out``: config, float16 weights, tokenizer.

    Raises CheckpointMissing or CheckpointBroken for ``base``, CheckpointMissing or CheckpointBroken for ``adapter`` as
    `load_adapter` does, ValueError when ``out`` is ``base``.
    """
    if out.resolve() == base.resolve():
        raise ValueError(f"{out} is the base itself; name another folder for the merged model")
    model = load(base)
    load_adapter(model, adapter, fingerprint(model))
    merge_into(model)
    save(model.half(), out)
    shutil.copyfile(base / TOKENIZER_FILE, out / TOKENIZER_FILE)


def merge_into(model: Decoder) -> None:
    """Replace every adapted layer of ``model`` by a plain one with the sum of both."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, LoraLinear):
            plain = nn.Linear(layer.weight.shape[1], layer.weight.shape[0], bias=False, device="meta")
            plain.weight = nn.Parameter((layer.weight.float() + layer.delta()).detach().to(layer.weight.dtype))
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, plain)


def _is_target(name: str, first_layer: int) -> bool:
    parts = name.split(".")  # model.layers.7.self_attn.q_proj
    return parts[-1] in TARGETS and int(parts[2]) >= first_layer


def _file_name(name: str) -> str:
    return f"{_PREFIX}{name}.weight"


def _config(model: Decoder, base_sha256: str, shape: LoraShape) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "base_sha256": base_sha256,
        "r": shape.rank,
        "lora_alpha": shape.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(TARGETS),
        "layers_to_transform": list(range(shape.first_layer, model.config.num_hidden_layers)),
        "inference_mode": True,
    }


def _read_config(folder: Path, base_sha256: str) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise CheckpointMissing(f"{path}: no such file; name a folder that training wrote")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        expected = config["base_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointBroken(f"{path}: not an adapter's config ({error!r}); bring the adapter again") from error
    if expected != base_sha256:
        raise CheckpointBroken(
            f"{folder}: the adapter belongs to a base with hash {str(expected)[:12]}, this one has {base_sha256[:12]}; "
            "use the base it was trained on"
        )
    return dict(config)


def _read_weights(folder: Path) -> dict[str, Tensor]:
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise CheckpointMissing(f"{path}: no such file; bring the adapter again")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointBroken(f"{path}: not a whole safetensors file ({error}); bring the adapter again") from error


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in weights.items()}
