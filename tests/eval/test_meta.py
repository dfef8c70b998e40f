"""Agreement of support with people's labels, against scipy's and scikit-learn's figures and by the real verifier."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from eval.meta import MetaFigures, correlation, meta_evaluation
from rag.types import InvalidInput
from tests.fakes import LexicalVerifier


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def claim(number: int, text: str, label: str, **more: object) -> dict[str, object]:
    return {"id": str(number), "dataset": "t", "passage": "The mast is 3 m.", "claim": text, "label": label, **more}


@pytest.mark.parametrize("seed", range(3))
def test_correlation_is_that_of_numpy(seed: int) -> None:
    draw = random.Random(seed)
    supports = [draw.random() for _ in range(50)]
    truth = [draw.random() < support for support in supports]
    assert correlation(supports, truth) == pytest.approx(np.corrcoef(supports, truth)[0, 1], abs=1e-12)


def test_correlation_is_none_where_nothing_varies() -> None:
    assert correlation([], []) is None
    assert correlation([0.2, 0.7], [True, True]) is None
    assert correlation([0.5, 0.5], [True, False]) is None


def test_figures_of_a_file_and_of_its_second_label(tmp_path: Path) -> None:
    rows = [
        claim(1, "The mast is 3 m.", "supported", right=True),
        claim(2, "Birds eat fish.", "not_supported", right=False),
        claim(3, "The mast is 3 m.", "supported", right=False),
        claim(4, "Snow fell.", "not_supported"),
    ]
    figures = meta_evaluation(LexicalVerifier(), [write(tmp_path / "some.jsonl", rows)])
    assert list(figures) == ["some", "some:right"]
    assert figures["some"] == MetaFigures(4, 1.0, 1.0, 1.0, 0.0)
    assert figures["some:right"].n == 3
    assert figures["some:right"].auroc == 0.75


def test_figures_that_one_class_cannot_give_are_none(tmp_path: Path) -> None:
    file = write(tmp_path / "one.jsonl", [claim(1, "The mast is 3 m.", "supported")])
    assert meta_evaluation(LexicalVerifier(), [file]) == {"one": MetaFigures(1, None, None, None, 0.0)}


def test_progress_runs_over_all_files(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{name}.jsonl", [claim(1, "Snow fell.", "nei")] * 1) for name in "ab"]
    seen: list[tuple[int, int | None]] = []
    meta_evaluation(LexicalVerifier(), files, progress=lambda done, whole: seen.append((done, whole)))
    assert seen == [(1, 2), (2, 2)]


def test_bad_input_is_named(tmp_path: Path) -> None:
    bad = write(tmp_path / "bad.jsonl", [claim(1, "The mast is 3 m.", "supported", right="yes")])
    with pytest.raises(InvalidInput, match=r'bad\.jsonl, line 1: "right" is not true or false'):
        meta_evaluation(LexicalVerifier(), [bad])
    with pytest.raises(InvalidInput, match='two claims files are called "bad"'):
        meta_evaluation(LexicalVerifier(), [bad, tmp_path / "bad.jsonl.gz"])
