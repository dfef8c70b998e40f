"""Adapters: what they add, that they merge to the same model, and that they go with one base only."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from lm.checkpoint import load, save
from lm.errors import CheckpointBroken, CheckpointMissing
from lm.lora import LoraShape, adapter_weights, add_adapters, fingerprint, load_adapter, merge, save_adapter
from lm.model import Decoder

IDS = torch.arange(3, 43)[None]
SHAPE = LoraShape(rank=4, alpha=8.0)


def adapted(base: Path, seed: int = 1) -> tuple[Decoder, str]:
    model = load(base)
    sha256 = fingerprint(model)
    add_adapters(model, SHAPE, seed)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in adapter_weights(model).values():
            weight.copy_((torch.randn(weight.shape, generator=draw) * 0.2).bfloat16())
    return model, sha256


def test_a_fresh_adapter_changes_nothing_and_alone_is_trainable(base: Path) -> None:
    model = load(base)
    before = model(IDS)
    add_adapters(model, SHAPE, seed=0)
    assert torch.equal(model(IDS), before)
    trainable = {name for name, value in model.named_parameters() if value.requires_grad}
    assert trainable == set(adapter_weights(model))
    assert len(trainable) == 2 * 7 * 2  # A and B, seven linear layers, two blocks


def test_only_upper_layers_from_first_layer(base: Path) -> None:
    model = load(base)
    add_adapters(model, LoraShape(4, 8.0, first_layer=1), seed=0)
    assert all(name.startswith("model.layers.1.") for name in adapter_weights(model))
    with pytest.raises(ValueError, match="first layer 2 of a model with 2"):
        add_adapters(load(base), LoraShape(4, 8.0, first_layer=2), seed=0)


def test_merged_weights_are_base_plus_scaled_product(base: Path, tmp_path: Path) -> None:
    model, sha256 = adapted(base)
    save_adapter(model, tmp_path / "adapter", sha256, SHAPE)
    merge(base, tmp_path / "adapter", tmp_path / "merged")
    before, after = load_file(base / "model.safetensors"), load_file(tmp_path / "merged" / "model.safetensors")
    name = "model.layers.1.mlp.down_proj"
    parts = {key: value.detach().numpy() for key, value in adapter_weights(model).items()}
    expected = before[f"{name}.weight"] + 2.0 * parts[f"{name}.lora_B"] @ parts[f"{name}.lora_A"]
    np.testing.assert_allclose(after[f"{name}.weight"].astype(np.float32), expected, atol=2e-3)
    assert np.abs(expected - before[f"{name}.weight"]).mean() > 0.05
    embeddings = "model.embed_tokens.weight"
    np.testing.assert_allclose(after[embeddings].astype(np.float32), before[embeddings], atol=1e-3)


def test_the_merged_model_answers_as_the_adapted_one(base: Path, tmp_path: Path) -> None:
    model, sha256 = adapted(base)
    save_adapter(model, tmp_path / "adapter", sha256, SHAPE)
    merge(base, tmp_path / "adapter", tmp_path / "merged")
    with torch.no_grad():
        merged, kept, plain = (one(IDS) for one in (load(tmp_path / "merged"), model, load(base)))
    torch.testing.assert_close(merged, kept, atol=0.05, rtol=0.02)
    assert (merged - plain).abs().mean() > 10 * (merged - kept).abs().mean()
    assert (tmp_path / "merged" / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()


def test_an_adapter_comes_back_from_its_folder(base: Path, tmp_path: Path) -> None:
    model, sha256 = adapted(base)
    save_adapter(model, tmp_path, sha256, SHAPE)
    again = load(base)
    assert load_adapter(again, tmp_path, sha256) == SHAPE
    with torch.no_grad():
        assert torch.equal(again(IDS), model(IDS))
    names = load_file_names(tmp_path)
    assert "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" in names  # what peft looks for
    assert json.loads((tmp_path / "adapter_config.json").read_text())["peft_type"] == "LORA"


def load_file_names(folder: Path) -> set[str]:
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        return set(file.keys())


def test_an_adapter_of_another_base_is_refused(base: Path, tmp_path: Path) -> None:
    model, sha256 = adapted(base)
    save_adapter(model, tmp_path / "adapter", sha256, SHAPE)
    other = load(base)
    with torch.no_grad():
        other.model.norm.weight[0] += 0.5
    save(other, tmp_path / "other")
    (tmp_path / "other" / "tokenizer.json").write_bytes((base / "tokenizer.json").read_bytes())
    with pytest.raises(CheckpointBroken, match=r"belongs to a base with hash .* use the base it was trained on"):
        merge(tmp_path / "other", tmp_path / "adapter", tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_the_fingerprint_does_not_depend_on_the_dtype_of_the_file(base: Path, tmp_path: Path) -> None:
    half = load(base).half()
    save(half, tmp_path / "half")
    save(half.float(), tmp_path / "single")
    assert fingerprint(load(tmp_path / "half")) == fingerprint(load(tmp_path / "single")) != fingerprint(load(base))


def test_broken_adapters_are_named(base: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointMissing, match=r"adapter_config\.json: no such file"):
        load_adapter(load(base), tmp_path, "0")
    model, sha256 = adapted(base)
    save_adapter(model, tmp_path, sha256, SHAPE)
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointBroken, match="not a whole safetensors file"):
        load_adapter(load(base), tmp_path, sha256)
    config = tmp_path / "adapter_config.json"
    config.write_text(config.read_text().replace('"r": 4', '"r": 8'))
    save_adapter(model, tmp_path / "b", sha256, SHAPE)
    weights.write_bytes((tmp_path / "b" / "adapter_model.safetensors").read_bytes())
    with pytest.raises(CheckpointBroken, match=r"lora_A\.weight is \(4, .*expected \(8, "):
        load_adapter(load(base), tmp_path, sha256)
    with pytest.raises(ValueError, match="is the base itself"):
        merge(base, tmp_path, base)
