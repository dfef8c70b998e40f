"""Small things of the real kind: a trained 400-token vocabulary, a random 2-layer decoder, and a folder of both."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import pytest
import tokenizers
import torch
from tokenizers import models, pre_tokenizers, trainers
from transformers import LlamaForCausalLM

from lm.checkpoint import save
from lm.config import read_config
from lm.engine import Engine
from lm.export import export_openvino
from lm.model import Decoder, DecoderConfig
from lm.openvino_engine import OpenVinoEngine
from lm.tokenizer import Tokenizer, Vocabulary, tokenizer_json
from lm.torch_engine import TorchEngine

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEXT = (
    "The warranty covers the pump for 24 months; parts cost 199.50 euros. "
    "Die Gewährleistung beträgt zwei Jahre — größere Schäden sind ausgenommen. "
    "保証期間は二年間です。 Le café coûte 3 €. 🙂🙂 user assistant system\n"
) * 20


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    trained = tokenizers.Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        [TEXT],
        trainers.BpeTrainer(
            vocab_size=400, special_tokens=list(CONTROL), initial_alphabet=alphabet, show_progress=False
        ),
    )
    model = json.loads(trained.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return Vocabulary(
        tokens=tuple(tokens),
        kinds=tuple(3 if token in CONTROL else 1 for token in tokens),
        merges=tuple(" ".join(pair) for pair in model["merges"]),
        splitting="smollm",
    )


@pytest.fixture(scope="session")
def tiny_config(vocabulary: Vocabulary) -> DecoderConfig:
    return DecoderConfig(
        vocab_size=len(vocabulary.tokens),
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=8,
        window=96,
        rope_theta=10000.0,
        bos_token_id=1,
        eos_token_id=2,
    )


@pytest.fixture(scope="session")
def tiny_model(tiny_config: DecoderConfig) -> Decoder:
    torch.manual_seed(7)
    model = Decoder(tiny_config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)  # wide enough that attention and logits are far from flat
    return model.eval()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory, tiny_model: Decoder, vocabulary: Vocabulary) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    save(tiny_model, folder)
    (folder / "tokenizer.json").write_text(tokenizer_json(vocabulary), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tokenizer(tiny_folder: Path) -> Tokenizer:
    return Tokenizer.load(tiny_folder)


@pytest.fixture(scope="session")
def wide_folder(tmp_path_factory: pytest.TempPathFactory, tiny_config: DecoderConfig) -> Path:
    """A random decoder whose heads are wide enough for OpenVINO's fused attention: checkpoint, float32/."""
    torch.manual_seed(11)
    model = Decoder(replace(tiny_config, hidden_size=192, intermediate_size=256, head_dim=32, window=200))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.07)  # so that answers repeat themselves here and there
    folder = tmp_path_factory.mktemp("wide")
    save(model, folder)
    export_openvino(folder, folder / "float32", weights="float32")
    return folder


@pytest.fixture(scope="session", params=["torch", "openvino"])
def either_engine(request: pytest.FixtureRequest, wide_folder: Path) -> Engine:
    """Each engine in turn, both with all numbers in fp32."""
    if request.param == "torch":
        return TorchEngine(wide_folder)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
    return OpenVinoEngine(wide_folder / "float32", read_config(wide_folder), settings)


@pytest.fixture(scope="session")
def theirs(wide_folder: Path) -> Any:
    """transformers' model of the wide folder, which ends an answer only where a test says so."""
    model = LlamaForCausalLM.from_pretrained(wide_folder).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model


@pytest.fixture(scope="session")
def write_gguf(tiny_config: DecoderConfig, tiny_model: Decoder, vocabulary: Vocabulary) -> Callable[..., Path]:
    """A function that writes the tiny model as a GGUF file, the way llama.cpp's converter does."""

    def write(path: Path, *, architecture: str = "llama", splitting: str = "smollm", quantised: bool = False) -> Path:
        writer = gguf.GGUFWriter(path, architecture)
        _add_sizes(writer, tiny_config)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(splitting)
        writer.add_token_list(list(vocabulary.tokens))
        writer.add_token_types(list(vocabulary.kinds))
        writer.add_token_merges(list(vocabulary.merges))
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        _add_weights(writer, tiny_model, quantised)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return write


def _add_sizes(writer: gguf.GGUFWriter, config: DecoderConfig) -> None:
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.window)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def _add_weights(writer: gguf.GGUFWriter, model: Decoder, quantised: bool) -> None:
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, model.config.num_hidden_layers)
    for name, value in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        weight = value.numpy()
        for part, heads in (("q_proj", model.config.num_attention_heads), ("k_proj", model.config.num_key_value_heads)):
            if part in name:
                # LlamaModel.permute of llama.cpp's convert_hf_to_gguf.py
                rows, columns = weight.shape
                weight = weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
        gguf_name = names.get_name(name, try_suffixes=(".weight",))
        if quantised and "mlp.down_proj" not in name and weight.ndim == 2 and weight.shape[1] % 32 == 0:
            packed = gguf.quants.quantize(weight, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(gguf_name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(gguf_name, weight.copy())


@pytest.fixture(scope="session")
def decoder_folder(models_home: Path) -> Path:
    """The base decoder as pulled: config.json, model.safetensors, tokenizer.json, int8/."""
    return models_home / "models" / "smollm2-135m"


@pytest.fixture(scope="session")
def base(tiny_folder: Path) -> Path:
    """The tiny model's folder, as what adapters are trained on."""
    return tiny_folder
