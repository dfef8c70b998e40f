"""A pair encoder as an OpenVINO graph: int8 weights, one asymmetric scale an output row; activations are quantised by
the CPU plugin while running, as for the retriever (rag/encode_export.py).

The heads keep full precision, and so does a layer of fewer than 64 inputs, of inputs that are no multiple of 32, or of
one output: with int8 weights and two or more streams, the CPU plugin of OpenVINO 2026 computes those that it does not
quantise activations for wrongly in bf16 (logits in the hundreds where torch has tenths); with one stream it does not.

    inputs    input_ids, attention_mask, token_type_ids (B, T) i64
    outputs   span: spans (B, T, 2) f32          check: labels (B, 3) f32, wrong (B, T) f32
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lm.ov import ov
from lm.pair_encoder import PairEncoder

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_HEADS = ("__module.token", "__module.label")


def export_pair(model: PairEncoder, path: Path, weights: str = "int8") -> None:
    """Write ``path`` (.xml) and its .bin. weights: "int8" or "float32"; ValueError for others."""
    if weights not in ("int8", "float32"):
        raise ValueError(f"weights {weights!r} is not one of int8, float32")
    graph = trace(model)
    if weights == "int8":
        import nncf

        kept = nncf.IgnoredScope(names=[node.get_friendly_name() for node in graph.get_ordered_ops() if _keeps(node)])
        graph = nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_ASYM, ignored_scope=kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    ov.save_model(graph, path, compress_to_fp16=False)


def trace(model: nn.Module) -> Any:
    """The graph of a network that takes INPUTS, each (B, T), of any size; weights as they are."""
    example = {name: np.ones((2, 9), dtype=np.int64) for name in INPUTS}
    ports = [(name, [-1, -1]) for name in INPUTS]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns of branches that are constant for this model
        return ov.convert_model(model.eval(), example_input=example, input=ports)


def _keeps(node: Any) -> bool:
    """Whether ``node`` is a layer that keeps full precision."""
    if node.get_type_name() != "MatMul":
        return False
    weights = node.input_value(1).get_partial_shape()  # (N, K), as torch has them
    if weights.is_dynamic or len(weights) != 2:
        return False  # of attention
    outputs, inputs = weights.to_shape()
    is_head: bool = node.get_friendly_name().startswith(_HEADS)
    return is_head or outputs == 1 or inputs < 64 or inputs % 32 != 0
