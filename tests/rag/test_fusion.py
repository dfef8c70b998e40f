"""The fused score: its formula, and the weight that moves with what stands out."""

from __future__ import annotations

import pytest

from rag.fusion import fuse, query_weight

FLAT = dict.fromkeys(range(10), 0.5)


def test_the_formula_with_a_given_weight() -> None:
    found = fuse({1: 0.6, 2: -0.2}, {2: 8.0, 3: 4.0}, 0.8)
    assert found == {1: pytest.approx(0.48), 2: pytest.approx(0.2), 3: pytest.approx(0.1)}
    assert fuse({}, {}) == {}


def test_a_bm25_favourite_moves_the_weight_to_words_and_a_dense_one_to_meaning() -> None:
    named = FLAT | {0: 5.0}
    near = FLAT | {0: 0.9}
    assert query_weight(FLAT, named) < query_weight(FLAT, FLAT) < query_weight(near, FLAT)


@pytest.mark.parametrize("scores", [{}, {1: 0.0}, {1: 1e9}, {n: float(n) for n in range(100)}])
def test_the_weight_stays_in_bounds(scores: dict[int, float]) -> None:
    for dense in ({}, {1: -1.0}, {1: 1.0, 2: -1.0}):
        assert 0.1 <= query_weight(dense, scores) <= 0.98
