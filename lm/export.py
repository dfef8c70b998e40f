"""The decoder as a stateful OpenVINO model: model.xml and model.bin, weights in int8, the KV cache inside.

The graph keeps the shape that the CPU plugin fuses into one attention node with the cache in place:
ReadValue -> Gather(beam_idx) -> Concat -> [share heads] -> ScaledDotProductAttention, and Concat -> Assign
(the layout that optimum-intel gives its exports).

    inputs    ids (B, T) i64      mask (B, S) i64, 1 for a token, 0 for padding
              at (N,) i64, positions in T to give logits for        beam_idx (B,) i32, rows of the cache to go on from
    outputs   logits (B, N, V) f32
              new.L.key, new.L.value (B, G, T, D) f32: what this call adds to the state of layer L
    state     past.L.key, past.L.value (B, G, P, D); empty after reset

Letters as in lm/model.py.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lm.checkpoint import load
from lm.compress import compress_weights
from lm.config import DecoderConfig
from lm.model import Decoder
from lm.openvino_engine import CACHE_FOLDER, MODEL_FILE, output_of
from lm.ov import ops, ov

_PLAIN_INPUTS = ("ids", "mask", "at")


def export_openvino(folder: Path, out: Path, weights: str = "int8") -> None:
    """Write the checkpoint in ``folder`` to ``out``/model.xml and model.bin.

    weights: "int8" (in groups of 32, embedding and head included; see lm/compress.py), "int4" (embedding and head in
    int8) or "float32". Raises CheckpointMissing or CheckpointBroken for the checkpoint, ValueError for other
    ``weights``.
    """
    if weights not in ("int8", "int4", "float32"):
        raise ValueError(f"weights {weights!r} is not one of int8, int4, float32")
    graph = to_openvino(load(folder))
    if weights != "float32":
        compress_weights(graph, bits=int(weights.removeprefix("int")))
    out.mkdir(parents=True, exist_ok=True)
    # Compiled blobs of an earlier export at this path would be taken for this one's.
    shutil.rmtree(out / CACHE_FOLDER, ignore_errors=True)
    ov.save_model(graph, out / MODEL_FILE, compress_to_fp16=False)


def to_openvino(model: Decoder) -> ov.Model:
    """The stateful graph of ``model``, fp32 weights, not compressed."""
    config = model.config
    with torch.no_grad():
        graph = ov.convert_model(_Traced(model), example_input=_example(config))
    pasts = [f"past.{layer}.{part}" for layer in range(config.num_hidden_layers) for part in ("key", "value")]
    _name_and_shape(graph, config, pasts)
    _make_stateful(graph, config, pasts)
    _give_new(graph)
    return graph


class _GraphCache:
    """A cache whose tensors are the traced graph's inputs, and whose grown tensors become its outputs."""

    def __init__(self, pasts: tuple[Tensor, ...]) -> None:
        self._pasts = pasts
        self.length = pasts[0].shape[2]
        self.grown: list[Tensor] = []

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        pair = (torch.cat((self._pasts[2 * layer], keys), 2), torch.cat((self._pasts[2 * layer + 1], values), 2))
        self.grown.extend(pair)
        return pair  # (B, G, S, D) each


class _Traced(nn.Module):
    """The decoder with its cache as arguments and results, as tracing needs it."""

    def __init__(self, model: Decoder) -> None:
        super().__init__()
        self.decoder = model

    def forward(self, ids: Tensor, mask: Tensor, at: Tensor, *pasts: Tensor) -> tuple[Tensor, ...]:
        cache = _GraphCache(pasts)
        logits = self.decoder(ids, mask, cache, at)  # (B, N, V)
        return logits, *cache.grown


def _example(config: DecoderConfig) -> tuple[Tensor, ...]:
    # No two sizes alike and none of them 1, so that tracing cannot take one for another or for a constant.
    batch, new, past = 2, 3, 5
    shape = (batch, config.num_key_value_heads, past, config.head_dim)
    pasts = [torch.zeros(shape) for _ in range(2 * config.num_hidden_layers)]
    ids = torch.zeros((batch, new), dtype=torch.int64)
    mask = torch.ones((batch, past + new), dtype=torch.int64)
    return ids, mask, torch.tensor([new - 1]), *pasts


def _name_and_shape(graph: ov.Model, config: DecoderConfig, pasts: list[str]) -> None:
    heads, width = config.num_key_value_heads, config.head_dim
    shapes = [[-1, -1], [-1, -1], [-1], *([-1, heads, -1, width] for _ in pasts)]
    for port, name, shape in zip(graph.inputs, [*_PLAIN_INPUTS, *pasts], shapes, strict=True):
        port.get_tensor().set_names({name})
        port.get_node().set_partial_shape(ov.PartialShape(shape))
    for port, name in zip(graph.outputs, ["logits", *(_grown(past) for past in pasts)], strict=True):
        port.get_tensor().set_names({name})
    graph.validate_nodes_and_infer_types()


def _grown(past: str) -> str:
    return past.replace("past.", "present.")


def _make_stateful(graph: ov.Model, config: DecoderConfig, pasts: list[str]) -> None:
    """Put each past behind a Gather over ``beam_idx`` and turn the pairs past, present into state."""
    from openvino._offline_transformations import apply_make_stateful_transformation

    rows = ops.parameter(ov.PartialShape([-1]), ov.Type.i32, name="beam_idx")
    rows.output(0).get_tensor().set_names({"beam_idx"})
    graph.add_parameters([rows])
    for name in pasts:
        port = graph.input(name)
        readers = port.get_target_inputs()
        picked = ops.gather(port, rows, ops.constant(np.int64(0)))
        for reader in readers:
            reader.replace_source_output(picked.output(0))
    graph.validate_nodes_and_infer_types()
    apply_make_stateful_transformation(graph, {name: _grown(name) for name in pasts})
    _start_empty(graph, config)


def _give_new(graph: ov.Model) -> None:
    """Each layer's new keys and values as outputs too: the plugin is slow to give out its state."""
    for sink in graph.get_sinks():
        new = sink.input_value(0).get_node().input_value(1)  # of the Concat of past and new
        new.get_tensor().add_names({output_of(sink.get_variable_id())})
        graph.add_results([ops.result(new)])
    graph.validate_nodes_and_infer_types()


def _start_empty(graph: ov.Model, config: DecoderConfig) -> None:
    """State after a reset: no tokens, as many rows as ``ids`` has."""
    batch = ops.gather(ops.shape_of(graph.input("ids")), ops.constant(np.array([0])), ops.constant(np.int64(0)))
    rest = (config.num_key_value_heads, 0, config.head_dim)
    shape = ops.concat([batch, ops.constant(np.array(rest, dtype=np.int64))], axis=0)
    empty = ops.broadcast(ops.constant(np.float32(0)), shape)
    for node in graph.get_ops():
        if node.get_type_name() == "ReadValue":
            node.set_arguments([empty])
    graph.validate_nodes_and_infer_types()
