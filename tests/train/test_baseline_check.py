from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import train.baseline_check
from rag.datafiles import ClaimRow, Label
from rag.evidence import SENTENCE_FEATURES
from rag.types import InvalidInput
from rag.verify import BaselineVerifier
from tests.fakes import HashEncoder
from train.baseline_check import Examples, MemoryEncoder, best_threshold, examples, fit, load_claims, texts_of

TEXT = "The Skua {0} pump weighs {0} kg. It was first sold in 19{0}, in Leeds. It does not run on batteries."


def _claims() -> list[ClaimRow]:
    rows = []
    for number in range(10, 40):
        text = TEXT.format(number)
        right, wrong = f"The Skua {number} pump weighs {number} kg.", f"The Skua {number} pump weighs {number + 50} kg."
        rows.append(ClaimRow(f"{number}a", "toy", text, right, Label.SUPPORTED))
        rows.append(ClaimRow(f"{number}b", "toy", text, wrong, Label.REFUTED))
        rows.append(ClaimRow(f"{number}c", "toy", text, "Zebras graze at dawn.", Label.NEI))
    return rows


def test_both_classes_weigh_the_same() -> None:
    found = examples(_claims(), SENTENCE_FEATURES, HashEncoder())
    assert found.features.shape == (90, len(SENTENCE_FEATURES))
    assert found.weights[found.supported].sum() == pytest.approx(found.weights[~found.supported].sum())
    assert found.weights.sum() == pytest.approx(90)


def test_fit_parts_what_can_be_parted_and_says_so() -> None:
    fitted = fit(examples(_claims(), SENTENCE_FEATURES, HashEncoder()), SENTENCE_FEATURES, penalty=1.0)
    assert list(fitted["weights"]) == list(SENTENCE_FEATURES)
    assert fitted["fitted_on"] == {"rows": 90, "supported": 30, "balanced_accuracy": 1.0, "auroc": 1.0}
    assert fitted["weights"]["all_found"] > 0 > fitted["weights"]["slip"]


def test_fit_finds_the_log_odds_of_a_single_feature() -> None:
    # 3 of 4 supported with the feature, 1 of 4 without: log-odds +-log 3, hence weight 2 log 3 and bias -log 3
    features = np.array([[1.0]] * 4 + [[0.0]] * 4)
    supported = np.array([True, True, True, False, True, False, False, False])
    fitted = fit(Examples(features, supported, np.ones(8)), ["only"], penalty=1e-6)
    assert fitted["weights"]["only"] == pytest.approx(2 * np.log(3), abs=1e-3)
    assert fitted["bias"] == pytest.approx(-np.log(3), abs=1e-3)


def test_the_threshold_is_the_middle_of_the_best_ones() -> None:
    assert best_threshold(np.array([0.2, 0.3, 0.7, 0.8]), np.array([False, False, True, True])) == pytest.approx(0.5)


def test_texts_are_encoded_once_and_come_back_as_they_were() -> None:
    rows = _claims()[:9]
    encoder, said = HashEncoder(), list[str]()
    memory = MemoryEncoder(encoder, texts_of(rows), said.append)
    ours, theirs = examples(rows, SENTENCE_FEATURES, memory), examples(rows, SENTENCE_FEATURES, encoder)
    assert np.allclose(ours.features, theirs.features, atol=2e-3)  # kept as float16
    assert len(said) == 1
    with pytest.raises(KeyError):
        memory.encode(["never seen"])


def _write_data(folder: Path) -> None:
    (folder / "claims" / "train").mkdir(parents=True)
    (folder / "qa" / "train").mkdir(parents=True)
    lines = [{"id": c.id, "dataset": "d", "passage": c.passage, "claim": c.claim, "label": c.label} for c in _claims()]
    for name in train.baseline_check.CLAIM_SETS:
        path = folder / "claims" / "train" / f"{name}.jsonl"
        path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    rows: list[dict[str, Any]] = [
        {
            "id": f"q{number}",
            "dataset": "d",
            "question": f"How much does the Skua {number} weigh?",
            "passages": [{"title": "Skua", "text": TEXT.format(number)}],
            "answers": [f"{number} kg"],
            "answerable": True,
        }
        for number in range(10, 40)
    ]
    for name in {*train.baseline_check.QUESTION_SETS, *train.baseline_check.EDIT_SETS}:
        path = folder / "qa" / "train" / f"{name}.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")


def test_the_command_writes_weights_that_load_and_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_data(tmp_path / "data")
    monkeypatch.setattr(train.baseline_check, "require", lambda home, name: home / name)
    monkeypatch.setattr(train.baseline_check, "load_encoder", lambda folder, device: HashEncoder())
    out = tmp_path / "out"
    arguments = ["--data", str(tmp_path / "data"), "--home", str(tmp_path), "--out", str(out), "--per-set", "4"]
    monkeypatch.setattr(sys, "argv", ["baseline_check", *arguments])
    train.baseline_check.main()
    first = (out / "weights.json").read_bytes()
    train.baseline_check.main()
    assert (out / "weights.json").read_bytes() == first
    BaselineVerifier.load(out, HashEncoder())


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no begin\.jsonl"):
        load_claims(tmp_path, 3, 0)
