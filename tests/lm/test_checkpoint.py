"""Weights in and out, and files that are not what they should be."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from lm.checkpoint import from_gguf, load, read_gguf, save
from lm.config import read_config
from lm.errors import CheckpointBroken, CheckpointMissing
from lm.model import Decoder
from lm.tokenizer import Tokenizer

WriteGguf = Callable[..., Path]
IDS = torch.arange(3, 60)[None]


def test_gguf_gives_back_config_and_weights(write_gguf: WriteGguf, tmp_path: Path, tiny_model: Decoder) -> None:
    config, weights = read_gguf(write_gguf(tmp_path / "tiny.gguf"))
    assert config == tiny_model.config
    expected = tiny_model.state_dict()
    del expected["lm_head.weight"]
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)  # q and k rows back in their order


def test_from_gguf_makes_a_folder_that_transformers_loads(
    write_gguf: WriteGguf, tmp_path: Path, tiny_model: Decoder
) -> None:
    from_gguf(write_gguf(tmp_path / "tiny.gguf", quantised=True), tmp_path / "out")
    theirs = LlamaForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    with torch.no_grad():
        logits = load(tmp_path / "out")(IDS)
        assert (logits - theirs(IDS).logits).abs().max() < 1e-4
        assert (logits - tiny_model(IDS)).abs().max() < 0.5  # what eight bits cost
    assert Tokenizer.load(tmp_path / "out").decode([5, 6, 7])
    assert load_file(tmp_path / "out" / "model.safetensors")["model.norm.weight"].dtype == torch.float16


@pytest.mark.parametrize("tied", [True, False])
def test_save_and_load(tmp_path: Path, tiny_model: Decoder, tied: bool) -> None:
    model = Decoder(replace(tiny_model.config, tie_word_embeddings=tied)).eval()
    save(model, tmp_path)
    again = load(tmp_path)
    assert again.config == model.config
    assert not again.training
    assert (again.lm_head.weight is again.model.embed_tokens.weight) == tied
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())
    assert load(tmp_path, "bfloat16").lm_head.weight.dtype == torch.bfloat16


def test_loads_what_transformers_saves(tmp_path: Path, tiny_folder: Path, tiny_model: Decoder) -> None:
    LlamaForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32).save_pretrained(tmp_path)
    assert read_config(tmp_path) == tiny_model.config
    with torch.no_grad():
        assert torch.equal(load(tmp_path)(IDS), tiny_model(IDS))


def test_unknown_dtype(tiny_folder: Path) -> None:
    with pytest.raises(ValueError, match="dtype 'int8'"):
        load(tiny_folder, "int8")


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.02, 0.3, 0.5, 0.9, 0.999])
def test_gguf_cut_short(write_gguf: WriteGguf, tmp_path: Path, share: float) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointBroken, match=r"tiny\.gguf.*bring it again"):
        read_gguf(path)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" + bytes(500), b"GGUF" + b"\xff" * 64, bytes(4096), b"GGUF"])
def test_gguf_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(CheckpointBroken, match=r"x\.gguf"):
        read_gguf(tmp_path / "x.gguf")


def test_gguf_of_another_architecture_or_tokenizer(write_gguf: WriteGguf, tmp_path: Path) -> None:
    with pytest.raises(CheckpointBroken, match="architecture 'qwen2'"):
        read_gguf(write_gguf(tmp_path / "qwen.gguf", architecture="qwen2"))
    with pytest.raises(CheckpointBroken, match="splitting 'tekken'"):
        from_gguf(write_gguf(tmp_path / "tekken.gguf", splitting="tekken"), tmp_path / "out")


def test_nothing_there(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(CheckpointMissing, match=r"none\.gguf"):
        read_gguf(tmp_path / "none.gguf")
    with pytest.raises(CheckpointMissing, match=r"config\.json"):
        load(tmp_path)
    (tmp_path / "config.json").write_bytes((tiny_folder / "config.json").read_bytes())
    with pytest.raises(CheckpointMissing, match=r"model\.safetensors"):
        load(tmp_path)


@pytest.fixture
def copied(tmp_path: Path, tiny_folder: Path) -> Path:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((tiny_folder / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize("size", [0, 5, 100, 20_000])
def test_safetensors_cut_short(copied: Path, size: int) -> None:
    path = copied / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointBroken, match=r"model\.safetensors"):
        load(copied)


def test_weights_of_another_model(copied: Path) -> None:
    path = copied / "model.safetensors"
    weights = load_file(path)
    save_file({name: value for name, value in weights.items() if "norm" not in name}, path)
    with pytest.raises(CheckpointBroken, match=r"5 weights do not fit.*shape none, expected \(48,\)"):
        load(copied)
    save_file({**weights, "model.layers.9.mlp.up_proj.weight": torch.ones(2, 2)}, path)
    with pytest.raises(CheckpointBroken, match=r"1 weights do not fit.*layers\.9.*shape \(2, 2\), expected none"):
        load(copied)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "qwen2"}, "model_type is 'qwen2'"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"rope_scaling": {"type": "linear", "factor": 2}}, "rope_scaling"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "rope_type 'llama3'"),
        ({"rope_parameters": 3}, "bring the model"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0"),
        ({"hidden_size": None}, "hidden_size is None"),
        ({"vocab_size": 401}, "weights do not fit"),
    ],
)
def test_config_of_another_model(copied: Path, change: dict[str, object], message: str) -> None:
    path = copied / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointBroken, match=message):
        load(copied)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"{}", b"\xff\xfe\x00"])
def test_config_that_is_none(copied: Path, content: bytes) -> None:
    (copied / "config.json").write_bytes(content)
    with pytest.raises(CheckpointBroken, match=r"config\.json"):
        load(copied)
