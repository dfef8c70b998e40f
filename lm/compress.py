"""Weights of an OpenVINO graph in eight or four bits: one scale and one zero point for every 32 values of a row.

Why not one scale a row, as libraries do for int8: on SmolLM2-135M that changes 2.3% of greedy decisions (about half of
all answers), since the rows have outliers. In groups of 32 with a zero point that need not be whole, every weight that
came from a 4-bit (Q4_1) or 8-bit (Q8_0) GGUF block of 32 is kept to rounding, and any other to 1/510 of its group's
range. Four bits keep what came from a Q4_1 block as well, but not what an adapter added to it.

Letters: O rows (outputs), I columns (inputs), K = 32 values a group, G = I / K groups a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lm.ov import ops, ov

GROUP = 32

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grouped:
    """(codes - zero) * scale is the weight; codes (O, G, K) from 0 to 255 or 15, zero and scale (O, G, 1)."""

    codes: NDArray[np.uint8]
    zero: Floats
    scale: Floats

    def restore(self) -> Floats:
        """The weights that the codes stand for, (O, I)."""
        wide: Floats = (self.codes.astype(np.float32) - self.zero) * self.scale
        return wide.reshape(len(wide), -1)


def group(weights: Floats, size: int = GROUP, bits: int = 8) -> Grouped:
    """Round (O, I) weights to ``bits`` in groups of ``size`` along I; the whole row where I is no multiple of it.

    Each group takes the better of two grids: from its least to its greatest value in 255 (or 15) steps, or even around
    zero with the greatest magnitude at 127 (or 7) steps.
    """
    top, half = 2**bits - 1, 2 ** (bits - 1)
    rows, columns = weights.shape
    parts = weights.reshape(rows, -1, size if columns % size == 0 else columns)  # (O, G, K)
    low, high = parts.min(-1, keepdims=True), parts.max(-1, keepdims=True)  # (O, G, 1)
    spanning = _round(parts, (high - low) / top, low, top)
    even_scale = np.maximum(-low, high) / (half - 1)
    even = _round(parts, even_scale, -half * even_scale, top)
    better = _error(parts, even) < _error(parts, spanning)  # (O, G, 1)
    return Grouped(
        np.where(better, even.codes, spanning.codes),
        np.where(better, even.zero, spanning.zero),
        np.where(better, even.scale, spanning.scale),
    )


def _round(parts: Floats, scale: Floats, low: Floats, top: int) -> Grouped:
    scale = np.where(scale > 0, scale, np.float32(1)).astype(np.float32)  # all values alike: any scale will do
    zero = (-low / scale).astype(np.float32)
    return Grouped(np.clip(np.rint(parts / scale + zero), 0, top).astype(np.uint8), zero, scale)


def _error(parts: Floats, rounded: Grouped) -> Floats:
    back = (rounded.codes.astype(np.float32) - rounded.zero) * rounded.scale
    squared: Floats = np.square(back - parts).sum(-1, keepdims=True)
    return squared


def compress_weights(graph: ov.Model, bits: int = 8) -> int:
    """Put every matrix that ``graph`` multiplies by or looks rows up in into eight bits, in place.

    ``bits``: 4 for the matrices that are multiplied by alone; the embedding, and a head tied to it, keep eight. A
    matrix used twice, like a tied embedding, is stored once. Returns the number of matrices.
    """
    compressed: dict[int, ov.Output] = {}
    looked_up = {
        node.input(0).get_source_output().get_node().data.ctypes.data
        for node in graph.get_ordered_ops()
        if node.get_type_name() == "Gather" and _is_matrix(node.input(0).get_source_output().get_node())
    }
    for node in graph.get_ordered_ops():
        kind = node.get_type_name()
        if kind not in ("MatMul", "Gather"):
            continue
        port = node.input(1 if kind == "MatMul" else 0)
        weights = port.get_source_output().get_node()
        if not _is_matrix(weights):
            continue
        where = weights.data.ctypes.data
        if where not in compressed:
            compressed[where] = _stored(weights.data, 8 if where in looked_up else bits).output(0)
        port.replace_source_output(compressed[where])
    graph.validate_nodes_and_infer_types()
    return len(compressed)


def _is_matrix(node: ov.Node) -> bool:
    constant = node.get_type_name() == "Constant" and node.get_element_type() == ov.Type.f32
    return constant and len(node.shape) == 2


def _stored(weights: Floats, bits: int) -> ov.Node:
    """The subgraph that the CPU plugin takes for compressed weights and expands inside its kernels."""
    grouped = group(weights, bits=bits)
    stored = ops.constant(grouped.codes, dtype=ov.Type.u4) if bits == 4 else ops.constant(grouped.codes)
    codes = ops.convert(stored, "f32")  # (O, G, K)
    centred = ops.subtract(codes, ops.constant(grouped.zero))
    scaled = ops.multiply(centred, ops.constant(grouped.scale))
    return ops.reshape(scaled, ops.constant(np.array(weights.shape, dtype=np.int64)), special_zero=False)  # (O, I)
