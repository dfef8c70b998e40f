"""MiniLM's base weights and what we trained of them -> the int8 reranker, or an encoder. Used at pull time.

    models/answerable-rerank/adapter_model.safetensors   trained weights, float16, and the head
    models/answerable-rerank/calibration.json            copied; may be absent

    inputs   input_ids, attention_mask, token_type_ids, each (N, T) i64
    output   (N, 2) f32 logits: relevant, answers

No torch is imported by name: transformers traces, and the head is put on in OpenVINO's own operations.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from lm.ov import ops, ov
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
_CONVERSION = 1


def export_reranker(parent: Path, trained: Path, out: Path, name: str) -> None:
    """Write graph, tokenizer and card of the reranker to ``out``. Raises ModelBroken where the two do not fit."""
    tensors = _tensors(trained)
    head = {key.removeprefix(_HEAD): value for key, value in tensors.items() if key.startswith(_HEAD)}
    _merge(parent, {k.removeprefix(_BERT): v for k, v in tensors.items() if k.startswith(_BERT)}, out)
    if head.keys() != {"weight", "bias"}:
        raise ModelBroken(f"{trained} has no head of a reranker; check the repository out again")
    graph = _graph(out, head["weight"].astype(np.float32), head["bias"].astype(np.float32))
    ov.save_model(graph, out / IR_FILE, compress_to_fp16=False)
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


def _graph(folder: Path, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> Any:
    """BERT with the head of train/reranker.py over [first state, mean of states]."""
    from transformers import BertModel

    example = {name: np.ones((2, 9), dtype=np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of branches that are constant for this model
        try:
            bert = BertModel.from_pretrained(folder, add_pooling_layer=False, local_files_only=True).eval()
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelBroken(f"{folder} holds no model of the BERT family: {error}") from error
        graph = ov.convert_model(bert, example_input=example, input=[(name, [-1, -1]) for name in example])
    import nncf

    # before the head is put on: two rows of weights are no work to speak of, and every digit of theirs counts
    graph = nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_ASYM)
    states = graph.output(0).get_node().input_value(0)  # (N, T, C)
    mask = ops.unsqueeze(ops.convert(graph.input("attention_mask"), "f32"), np.int64(2))  # (N, T, 1)
    total = ops.reduce_sum(ops.multiply(states, mask), np.int64(1))  # (N, C)
    mean = ops.divide(total, ops.reduce_sum(mask, np.int64(1)))  # (N, C)
    first = ops.gather(states, np.int64(0), np.int64(1))  # (N, C)
    both = ops.concat([first, mean], 1)  # (N, 2C)
    logits = ops.add(ops.matmul(both, weight, False, True), bias[None])  # (N, 2)
    return ov.Model([logits], graph.get_parameters(), "reranker")
