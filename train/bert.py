"""MiniLM in torch for training: the base weights, what of them is trained, and batches of texts.

The word embeddings, more than half of all weights, stay as they are: a model of ours ships only what training changed
(see TRAINED), in float16. Letters: S sequences, T tokens, C channels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertModel

from rag.types import InvalidInput
from train.loop import TrainingFailed

ADAPTER_FILE = "adapter_model.safetensors"
_FROZEN = "embeddings."


def load_bert(base: Path) -> BertModel:
    """The base model, fp32, dropout off, word embeddings frozen. Raises InvalidInput for a folder without one."""
    try:
        bert = BertModel.from_pretrained(base, add_pooling_layer=False, local_files_only=True).float()
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"{base}: no model of the BERT family ({error}); give the folder of minilm-l6") from error
    for module in bert.modules():
        if isinstance(module, nn.Dropout):  # off: the runs are short, and a step without is a sixth quicker
            module.p = 0.0
    for name, weight in bert.named_parameters():
        weight.requires_grad = not name.startswith(_FROZEN)
    return bert


def load_tokenizer(base: Path) -> Tokenizer:
    """The base's tokenizer, without padding and truncation of its own. Raises InvalidInput."""
    try:
        tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    except Exception as error:  # tokenizers raises no narrower one
        raise InvalidInput(f"{base / 'tokenizer.json'} cannot be read ({error})") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def trained_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """What is trained, by name."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def save_trained(model: nn.Module, out: Path) -> None:
    """Write what is trained to ``out``, float16, whole or not at all. Raises TrainingFailed for a full disk."""
    tensors = {
        name: weight.detach().cpu().numpy().astype(np.float16) for name, weight in trained_weights(model).items()
    }
    unfinished = out / f"{ADAPTER_FILE}.part"
    try:
        out.mkdir(parents=True, exist_ok=True)
        save_file(tensors, unfinished)
        unfinished.replace(out / ADAPTER_FILE)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise TrainingFailed(f"{out}: cannot be written ({error}); make room and start again") from error


def padded(rows: Sequence[Sequence[int]], types: Sequence[int] | None = None) -> dict[str, Tensor]:
    """Model inputs (S, T) of id rows; ``types``: where the second segment of each begins (None: there is none)."""
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])  # (S, T)
    places = torch.arange(width)[None]  # (1, T)
    lengths = torch.tensor([len(row) for row in rows])[:, None]  # (S, 1)
    mask = (places < lengths).long()  # (S, T)
    second = torch.zeros_like(ids) if types is None else ((places >= torch.tensor(types)[:, None]) & (mask > 0)).long()
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": second}


def by_length(rows: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Row numbers, ``size`` at a time, of about equal length: side by side, mixed lengths would be half padding."""
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    for first in range(0, len(order), size):
        yield order[first : first + size]


def in_order(parts: Sequence[Tensor], places: Sequence[Sequence[int]]) -> Tensor:
    """The rows of ``parts``, which are those of ``places``, in the order of their numbers: (S, ...)."""
    back = torch.tensor([number for some in places for number in some]).argsort()
    return torch.cat(list(parts))[back]


def sha256_of_weights(model: nn.Module) -> str:
    """A hash over all weights, to tell runs on different bases apart."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.named_parameters()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def identity(options: dict[str, Any], rows: Sequence[Any]) -> str:
    """A hash of what decides the course of a run: ``options`` and all rows."""
    digest = hashlib.sha256(repr(sorted(options.items())).encode())
    for row in rows:
        digest.update(repr(row).encode())
    return digest.hexdigest()
