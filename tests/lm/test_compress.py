"""Eight bits in groups of 32: exact on the grids that GGUF files use, bounded elsewhere."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize, quantize

from lm.compress import compress_weights, group
from lm.ov import ops, ov


def normal(*shape: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("kind", ["Q4_1", "Q8_0", "Q4_0", "Q5_1"])
def test_weights_from_gguf_blocks_are_kept(kind: str) -> None:
    # The base decoder is Q4_1 with Q8_0 embeddings; with one scale a row, half of its answers changed.
    qtype = gguf.GGMLQuantizationType[kind]
    weights = dequantize(quantize(normal(64, 256), qtype), qtype).astype(np.float32)
    error = np.abs(group(weights).restore() - weights).max()
    assert error < (1e-6 if kind in ("Q4_1", "Q8_0") else 0.01) * np.abs(weights).max()


def test_any_weights_are_within_half_a_step() -> None:
    weights = normal(10, 96)
    weights[3, 40] = 50.0  # an outlier costs its own 32 neighbours precision, not the row
    parts = weights.reshape(10, 3, 32)
    step = (parts.max(-1) - parts.min(-1)) / 255
    error = np.abs(group(weights).restore() - weights).reshape(10, 3, 32).max(-1)
    assert (error <= 0.51 * step).all() or (error <= 0.51 * np.abs(parts).max(-1) / 127).all()
    assert error[3, 0] < 0.02 and error[3, 2] < 0.02


def test_four_bits_keep_a_q4_1_block_and_err_by_half_a_step_elsewhere() -> None:
    qtype = gguf.GGMLQuantizationType.Q4_1
    weights = dequantize(quantize(normal(64, 256), qtype), qtype).astype(np.float32)
    grouped = group(weights, bits=4)
    assert grouped.codes.max() == 15
    assert np.abs(grouped.restore() - weights).max() < 1e-6 * np.abs(weights).max()
    parts = normal(10, 96).reshape(10, 3, 32)
    error = np.abs(group(parts.reshape(10, 96), bits=4).restore() - parts.reshape(10, 96)).max()
    assert error <= 0.51 * (parts.max(-1) - parts.min(-1)).max() / 15


@pytest.mark.parametrize("value", [0.0, 0.25, -3.0])
def test_a_group_of_one_value(value: float) -> None:
    weights = np.full((2, 64), value, dtype=np.float32)
    assert np.allclose(group(weights).restore(), weights, atol=abs(value) / 1000)


def test_rows_that_are_no_multiple_of_the_group() -> None:
    weights = normal(5, 50)
    grouped = group(weights)
    assert grouped.codes.shape == (5, 1, 50)
    assert np.abs(grouped.restore() - weights).max() < 0.02


def test_a_matrix_used_twice_is_stored_once() -> None:
    table = ops.constant(normal(40, 64))
    ids = ops.parameter([-1], ov.Type.i64)
    rows = ops.gather(table, ids, ops.constant(np.int64(0)))
    scores = ops.matmul(rows, table, False, True)
    graph = ov.Model([scores], [ids])
    expected = ov.Core().compile_model(graph.clone(), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(np.arange(4))[0]
    assert compress_weights(graph) == 1
    constants = [node for node in graph.get_ops() if node.get_type_name() == "Constant"]
    codes = [node for node in constants if node.get_element_type() == ov.Type.u8]
    assert [list(node.shape) for node in codes] == [[40, 2, 32]]
    found = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(np.arange(4))[0]
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.9999
