"""Our adapters become models at pull: once, again when they change, never without their base."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from rag import weights, weights_pull
from rag.types import ModelBroken, ModelMissing
from rag.weights_source import BaseModel, PinnedFile
from rag.weights_trained import ADAPTER_FILE, TrainedModel, make_trained, trained_models

BASE_BYTES = b"base weights"


def copy(raw: Path, out: Path) -> None:
    (out / "weights.bin").write_bytes((raw / "weights.bin").read_bytes())


BASE = BaseModel(
    name="base",
    role="generator",
    package="base-weights",
    version="1",
    prefix="base_weights/",
    files=(PinnedFile("weights.bin", len(BASE_BYTES), hashlib.sha256(BASE_BYTES).hexdigest()),),
    convert=copy,
    conversion=1,
    room=1,
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(BASE_BYTES)
    return folder


@pytest.fixture
def trained(tmp_path: Path) -> TrainedModel:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / ADAPTER_FILE).write_bytes(b"what was learned")
    return TrainedModel("ours", "generator", "0.1", "base", folder, room=1)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands in for merging and exporting, which tests/lm and the models_home fixture do for real."""
    calls: list[str] = []

    def make(model: TrainedModel, parent: Path, out: Path) -> None:
        calls.append(model.name)
        (out / "sum.bin").write_bytes(
            (parent / "weights.bin").read_bytes() + (model.adapter / ADAPTER_FILE).read_bytes()
        )

    monkeypatch.setattr(weights_pull, "make_trained", make)
    return calls


def pull(home: Path, source: Path, trained: TrainedModel) -> list[weights.ModelInfo]:
    return weights_pull.pull(home, str(source), lambda _line: None, (BASE,), (trained,))


def test_base_and_adapter_become_a_model_that_names_its_parent(
    tmp_path: Path, source: Path, trained: TrainedModel, made: list[str]
) -> None:
    base, ours = pull(tmp_path, source, trained)
    assert (base.name, base.parent, ours.name, ours.parent) == ("base", "", "ours", "base")
    assert ours.sha256 == hashlib.sha256(b"what was learned").hexdigest()
    assert (weights.require(tmp_path, "ours") / "sum.bin").read_bytes() == BASE_BYTES + b"what was learned"
    assert weights.fingerprint(tmp_path / "models" / "ours") != weights.fingerprint(tmp_path / "models" / "base")
    pull(tmp_path, source, trained)
    assert made == ["ours"]


def test_a_changed_adapter_is_added_again(tmp_path: Path, source: Path, trained: TrainedModel, made: list[str]) -> None:
    pull(tmp_path, source, trained)
    before = weights.fingerprint(tmp_path / "models" / "ours")
    (trained.adapter / ADAPTER_FILE).write_bytes(b"more was learned")
    pull(tmp_path, source, trained)
    assert made == ["ours", "ours"]
    assert weights.fingerprint(tmp_path / "models" / "ours") != before


def test_adapter_weights_that_are_not_there_are_named(tmp_path: Path, source: Path, trained: TrainedModel) -> None:
    (trained.adapter / ADAPTER_FILE).unlink()
    with pytest.raises(ModelMissing, match="checkout is not whole"):
        pull(tmp_path, source, trained)


def test_a_base_that_is_no_model_is_refused(tmp_path: Path, trained: TrainedModel) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ModelBroken, match=r"config\.json"):
        make_trained(trained, tmp_path / "nothing", tmp_path / "out")


def test_what_the_repository_ships_is_whole() -> None:
    for model in trained_models():
        assert len(model.sha256) == 64
        card = {"generator": "adapter_config.json", "reranker": "calibration.json"}.get(model.role, "pair.json")
        assert (model.adapter / card).is_file() and (model.adapter / "README.md").is_file()
