"""Curves are read from the metrics as the loop writes them, and become a picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.types import InvalidInput
from train.loop import METRICS_FILE
from train.plot import draw, read_curves, smoothed

LINES = [
    {"step": 1, "seconds": 2.0, "loss": 2.0, "tokens": 100},
    {"step": 2, "seconds": 4.0, "loss": 1.0, "tokens": 50},
    {"step": 2, "seconds": 4.0, "val_loss": 0.9, "em": 0.4, "f1": 0.5, "refusal_f1": 0.1},
]


def test_a_run_becomes_a_picture(tmp_path: Path) -> None:
    (tmp_path / METRICS_FILE).write_text("".join(json.dumps(line) + "\n" for line in LINES))
    curves = read_curves(tmp_path)
    assert curves.losses == ((100, 2.0), (150, 1.0))
    assert [(tokens, figures["f1"]) for tokens, figures in curves.measured] == [(150, 0.5)]
    draw([curves], tmp_path / "runs.png")
    assert (tmp_path / "runs.png").read_bytes().startswith(b"\x89PNG")


def test_the_running_mean_starts_where_the_values_do() -> None:
    assert smoothed([3.0]) == pytest.approx([3.0])
    assert smoothed([2.0] * 50) == pytest.approx([2.0] * 50)
    assert smoothed([2.0, 1.0])[1] == pytest.approx((0.95 * 2 + 1) / 1.95)


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=METRICS_FILE):
        read_curves(tmp_path)
    (tmp_path / METRICS_FILE).write_text("{}\n[1]\n")
    with pytest.raises(InvalidInput, match="not the metrics of a run"):
        read_curves(tmp_path)
