"""A BERT that reads two texts side by side, with one of two heads: where an answer stands, or whether a claim holds.

    span    each token as the first and the last of the answer: logits (B, T, 2); the first token stands for "none"
    check   the claim is supported, contradicted, or not in the passage: logits (B, 3); and each token of the claim
            as wrong or right: logits (B, T)

The encoder is transformers' BertModel (MiniLM-L6: 6 layers, H = 384). A trained model is one file: matrices in eight
bits with one scale a row, which is also how they are served, the rest in half precision. B pairs, T tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lm.errors import CheckpointBroken, CheckpointMissing

HEADS = ("span", "check")
LABELS = 3
_SCALE = ".scale"
_LARGE = 100_000  # numbers of a matrix from which on it is written in eight bits
_DROPOUT = 0.1


class PairEncoder(nn.Module):
    """The encoder and its head. ``head``: "span" or "check"; ``config``: the fields of a BertConfig."""

    def __init__(self, head: str, config: Mapping[str, Any]) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        if head not in HEADS:
            raise ValueError(f"head {head!r} is not one of {', '.join(HEADS)}")
        self.head, self.config = head, dict(config)
        self.bert = BertModel(BertConfig(**self.config), add_pooling_layer=False)
        width = int(self.bert.config.hidden_size)
        self.token = nn.Linear(width, 2 if head == "span" else 1)
        if head == "check":
            self.label = nn.Sequential(
                nn.Dropout(_DROPOUT), nn.Linear(width, width), nn.Tanh(), nn.Dropout(_DROPOUT), nn.Linear(width, LABELS)
            )

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, ...]:
        """All inputs (B, T). Returns (spans (B, T, 2),) or (labels (B, 3), wrong (B, T)), fp32."""
        states = self.bert(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state  # (B, T, H)
        tokens = self.token(states).float()  # (B, T, 2 or 1)
        if self.head == "span":
            return (tokens,)
        return self.label(states[:, 0]).float(), tokens.squeeze(-1)


def from_base(folder: Path, head: str, layers: int = 0) -> PairEncoder:
    """A fresh head on the encoder of a sentence-transformers folder. Its random weights follow torch's seed.

    ``layers``: how many the encoder shall have (0: its own), a multiple of what it has; see `deepened`.
    Raises CheckpointMissing, CheckpointBroken, the latter for another number of layers, too.
    """
    from safetensors.torch import load_file

    config_file, weights_file = folder / "config.json", folder / "model.safetensors"
    for path in (config_file, weights_file):
        if not path.is_file():
            raise CheckpointMissing(f"{path}: no such file; run: answerable models pull")
    try:
        fields = json.loads(config_file.read_text(encoding="utf-8"))
        model = PairEncoder(head, {name: value for name, value in fields.items() if not name.startswith("_")})
        weights = {name: value.float() for name, value in load_file(weights_file).items()}
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise CheckpointBroken(f"{folder}: not an encoder of the BERT family ({error})") from error
    missing, _ = model.bert.load_state_dict(weights, strict=False)  # the file has a pooler that is not used here
    if missing:
        raise CheckpointBroken(f"{weights_file}: weights are missing: {', '.join(missing[:3])}")
    return deepened(model, layers) if layers else model


def deepened(model: PairEncoder, layers: int) -> PairEncoder:
    """``model`` with each of its layers followed by copies of it, ``layers`` in all.

    The copies add nothing to the states at first: their last projections are zero (LLaMA Pro, Wu et al., ACL 2024);
    what is left of them are two norms. Raises CheckpointBroken unless ``layers`` is a multiple of the number there is.
    """
    old = int(model.bert.config.num_hidden_layers)
    if layers < old or layers % old:
        raise CheckpointBroken(f"{layers} layers cannot be made of {old}; give a multiple of {old}")
    deeper = PairEncoder(model.head, model.config | {"num_hidden_layers": layers})
    weights = model.state_dict()
    mark = "bert.encoder.layer."
    for name in deeper.state_dict():
        if name.startswith(mark):
            place, rest = name.removeprefix(mark).split(".", 1)
            source, copy = divmod(int(place), layers // old)
            found = model.state_dict()[f"{mark}{source}.{rest}"]
            silent = copy > 0 and ".output.dense" in f".{rest}"
            weights[name] = torch.zeros_like(found) if silent else found.clone()
    deeper.load_state_dict(weights)
    return deeper


def save_compact(model: PairEncoder, path: Path) -> None:
    """Write the one file of a trained model, through a file beside it. Raises OSError or SafetensorError."""
    tensors: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        weight = value.cpu()
        if weight.ndim == 2 and weight.numel() >= _LARGE:
            scale = (weight.abs().amax(dim=1, keepdim=True) / 127).clamp_min(1e-12)  # (V, 1)
            tensors[name] = (weight / scale).round().to(torch.int8)
            tensors[name + _SCALE] = scale.float()
        else:
            tensors[name] = weight.half() if weight.is_floating_point() else weight.clone()
    unfinished = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, unfinished, metadata={"head": model.head, "config": json.dumps(model.config)})
    unfinished.replace(path)


def load_compact(path: Path) -> PairEncoder:
    """The model of such a file, fp32, ready to run. Raises CheckpointMissing, CheckpointBroken."""
    if not path.is_file():
        raise CheckpointMissing(f"{path}: no such file; train it, or check the repository out again")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        model = PairEncoder(header["head"], json.loads(header["config"]))
        for scale in [name for name in tensors if name.endswith(_SCALE)]:
            name = scale.removesuffix(_SCALE)
            tensors[name] = tensors[name].float() * tensors.pop(scale)
        model.load_state_dict({name: value.float() for name, value in tensors.items()})
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise CheckpointBroken(f"{path}: not the weights of a pair encoder ({error!r})") from error
    return model.eval()
