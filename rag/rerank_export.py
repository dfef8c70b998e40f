"""MiniLM's base weights and what we trained of them -> the int8 reranker, or an encoder. Used at pull time.

    models/answerable-rerank/adapter_model.safetensors   trained weights, float16, and the head
    models/answerable-rerank/calibration.json            copied; may be absent

    inputs   input_ids, attention_mask, token_type_ids, each (N, T) i64
    output   (N, 2) f32 logits: relevant, answers

The graphs themselves are made in lm/.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from rag.encode import IR_FILE, TOKENIZER_FILE, WEIGHTS_FILE, sha256_of
from rag.encode_export import export_minilm
from rag.rerank import CALIBRATION_FILE, CARD_FILE
from rag.types import ModelBroken

_OF_BASE = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "modules.json",
    "sentence_bert_config.json",
)
_BERT, _HEAD = "bert.", "head."
_CONVERSION = 3


def export_reranker(parent: Path, trained: Path, out: Path, name: str) -> None:
    """Write graph, tokenizer and card of the reranker to ``out``.

    Raises ModelBroken where the two do not fit, CheckpointBroken (lm/errors.py) where the parent is no BERT.
    """
    from lm.export_cross import export_cross

    tensors = _tensors(trained)
    head = {key.removeprefix(_HEAD): value for key, value in tensors.items() if key.startswith(_HEAD)}
    _merge(parent, {k.removeprefix(_BERT): v for k, v in tensors.items() if k.startswith(_BERT)}, out)
    if head.keys() != {"weight", "bias"}:
        raise ModelBroken(f"{trained} has no head of a reranker; check the repository out again")
    export_cross(out, head, out / IR_FILE)
    calibration = trained.parent / CALIBRATION_FILE
    if calibration.is_file():
        shutil.copy(calibration, out / CALIBRATION_FILE)
    (out / WEIGHTS_FILE).unlink()  # the graph has them
    files = (TOKENIZER_FILE, IR_FILE, str(Path(IR_FILE).with_suffix(".bin")))
    print_of = hashlib.sha256(f"{sha256_of(trained)}|{_CONVERSION}".encode()).hexdigest()[:12]
    card = {"name": name, "fingerprint": print_of, "hashes": {file: sha256_of(out / file) for file in files}}
    (out / CARD_FILE).write_text(json.dumps(card, indent=1) + "\n", "utf-8")


def export_retriever(parent: Path, trained: Path, out: Path, name: str) -> None:
    """Write an encoder folder, as `encode_export.export_minilm` makes them, of the trained weights."""
    tensors = {key.removeprefix(_BERT): value for key, value in _tensors(trained).items() if key.startswith(_BERT)}
    _merge(parent, tensors, out)
    shutil.copytree(parent / "1_Pooling", out / "1_Pooling")
    export_minilm(out, name)


def _tensors(path: Path) -> dict[str, NDArray[Any]]:
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise ModelBroken(f"{path} cannot be read ({error}); check the repository out again") from error


def _merge(parent: Path, trained: dict[str, NDArray[Any]], out: Path) -> None:
    """The parent's folder in ``out``, with the trained weights in the place of its own."""
    base = _tensors(parent / WEIGHTS_FILE)
    strange = [name for name, value in trained.items() if name not in base or base[name].shape != value.shape]
    if strange or not trained:
        raise ModelBroken(f"{parent} is not what {out.name} was trained on: {strange[:3] or 'nothing fits'}")
    whole = base | {name: value.astype(base[name].dtype) for name, value in trained.items()}
    save_file(whole, out / WEIGHTS_FILE, metadata={"format": "pt"})
    for name in _OF_BASE:
        if (parent / name).is_file():
            shutil.copy(parent / name, out / name)
