"""Weights in and out: GGUF files (read), and folders of config.json, model.safetensors, tokenizer.json (both ways).

The folder is Hugging Face's LlamaForCausalLM layout: transformers loads what `save` writes, and `load` takes what
transformers' save_pretrained writes (one file, tied or untied head).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lm.config import FILE_NAME as CONFIG_FILE
from lm.config import DecoderConfig, read_config, write_config
from lm.errors import CheckpointBroken, CheckpointMissing
from lm.model import Decoder
from lm.tokenizer import FILE_NAME as TOKENIZER_FILE
from lm.tokenizer import Vocabulary, tokenizer_json

if TYPE_CHECKING:
    from gguf import GGUFReader

WEIGHTS_FILE = "model.safetensors"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_GGUF_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def read_gguf(path: Path) -> tuple[DecoderConfig, dict[str, torch.Tensor]]:
    """Config and fp32 weights, in Hugging Face names, of a GGUF file of the llama architecture.

    Quantised blocks are expanded by the gguf package. Raises CheckpointMissing when there is no such file,
    CheckpointBroken when it is cut short, not GGUF, or of another architecture.
    """
    with _reading_gguf(path) as reader:
        config = _gguf_config(reader)
        return config, _gguf_weights(reader, config)


def save(model: Decoder, folder: Path) -> None:
    """Write config.json and model.safetensors, weights in the model's own dtype; a tied head is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        del weights["lm_head.weight"]
    _write(model.config, weights, folder)


def load(folder: Path, dtype: str = "float32") -> Decoder:
    """The model of ``folder``, on the CPU, in eval mode, its weights in ``dtype`` (float32, bfloat16 or float16).

    Raises CheckpointMissing when a file is not there, CheckpointBroken when one is cut short, or its weights are not
    those that config.json describes.
    """
    config = read_config(folder)
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise CheckpointMissing(f"{path}: no such file; bring the model's folder again")
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    try:
        weights = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointBroken(f"{path}: not a whole safetensors file ({error}); bring it again") from error
    return _assemble(config, {name: value.to(DTYPES[dtype]) for name, value in weights.items()}, path)


def from_gguf(gguf: Path, folder: Path) -> None:
    """Convert a GGUF file into ``folder``: config.json, model.safetensors (float16), tokenizer.json.

    float16, since it holds dequantised 4- and 8-bit weights (a float16 scale times a small whole number) an order of
    magnitude closer than bfloat16: mean relative error 7e-5 against 9e-4 on SmolLM2-135M Q4_1.
    """
    with _reading_gguf(gguf) as reader:
        config = _gguf_config(reader)
        weights = _gguf_weights(reader, config)
        vocabulary = _gguf_vocabulary(reader)
        if len(vocabulary.tokens) != config.vocab_size:
            raise ValueError(f"{len(vocabulary.tokens)} tokens for embeddings of {config.vocab_size}")
        tokenizer = tokenizer_json(vocabulary)
    _assemble(config, weights, gguf)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TOKENIZER_FILE).write_text(tokenizer, encoding="utf-8")
    _write(config, {name: value.half() for name, value in weights.items()}, folder)


def _write(config: DecoderConfig, weights: dict[str, torch.Tensor], folder: Path) -> None:
    # Renamed into place, so that a crash leaves the old weights or none, never half a file.
    unfinished = folder / (WEIGHTS_FILE + ".part")
    save_file(weights, unfinished, metadata={"format": "pt"})
    write_config(config, folder)
    unfinished.chmod((folder / CONFIG_FILE).stat().st_mode)  # safetensors gives its files to their owner alone
    unfinished.replace(folder / WEIGHTS_FILE)


def _assemble(config: DecoderConfig, weights: dict[str, torch.Tensor], path: Path) -> Decoder:
    with torch.device("meta"):
        model = Decoder(config)
    expected = {name: value.shape for name, value in model.state_dict().items()}
    if config.tie_word_embeddings and "model.embed_tokens.weight" in weights:
        weights = {**weights, "lm_head.weight": weights["model.embed_tokens.weight"]}
    found = {name: value.shape for name, value in weights.items()}
    if found != expected:
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        first = wrong[0]
        raise CheckpointBroken(
            f"{path}: {len(wrong)} weights do not fit the config, first {first}: shape {_shape(found.get(first))}, "
            f"expected {_shape(expected.get(first))}; bring weights and config of one model"
        )
    model.load_state_dict(weights, assign=True)
    model.tie()
    return model.eval()


def _shape(shape: torch.Size | None) -> str:
    return "none" if shape is None else str(tuple(shape))


@contextmanager
def _reading_gguf(path: Path) -> Iterator[GGUFReader]:
    # Imported here: gguf takes half a second, and only a conversion needs it.
    from gguf import GGUFReader

    if not path.is_file():
        raise CheckpointMissing(f"{path}: no such file; bring the GGUF file again")
    try:
        yield GGUFReader(path)
    # What the package and numpy raise on bytes that are no GGUF: bad magic, counts or offsets past the end, bad text.
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError, AttributeError) as error:
        reason = f"{error.args[0] if error.args else error!r} is missing" if isinstance(error, KeyError) else str(error)
        raise CheckpointBroken(f"{path}: not a whole GGUF file of a Llama model ({reason}); bring it again") from error


def _field(reader: GGUFReader, name: str, default: Any = None) -> Any:
    field = reader.get_field(name)
    if field is None:
        if default is None:
            raise KeyError(name)
        return default
    return field.contents()


def _gguf_config(reader: GGUFReader) -> DecoderConfig:
    architecture = _field(reader, "general.architecture")
    if architecture != "llama":
        raise ValueError(f"architecture {architecture!r}, this decoder runs only 'llama'")
    if (scaling := _field(reader, "llama.rope.scaling.type", "none")) != "none":
        raise ValueError(f"rope scaling {scaling!r}, this decoder runs only unscaled rotary positions")
    heads = _field(reader, "llama.attention.head_count")
    hidden = _field(reader, "llama.embedding_length")
    names = {tensor.name: tensor for tensor in reader.tensors}
    return DecoderConfig(
        vocab_size=int(names["token_embd.weight"].shape[1]),
        hidden_size=hidden,
        intermediate_size=_field(reader, "llama.feed_forward_length"),
        num_hidden_layers=_field(reader, "llama.block_count"),
        num_attention_heads=heads,
        num_key_value_heads=_field(reader, "llama.attention.head_count_kv", heads),
        head_dim=_field(reader, "llama.attention.key_length", hidden // heads),
        window=_field(reader, "llama.context_length"),
        rope_theta=float(_field(reader, "llama.rope.freq_base", 10000.0)),
        # Stored as float32: 1e-5 comes back as 9.9999997e-06.
        rms_norm_eps=float(f"{_field(reader, 'llama.attention.layer_norm_rms_epsilon'):.6g}"),
        tie_word_embeddings="output.weight" not in names,
        bos_token_id=_field(reader, "tokenizer.ggml.bos_token_id"),
        eos_token_id=_field(reader, "tokenizer.ggml.eos_token_id"),
    )


def _gguf_weights(reader: GGUFReader, config: DecoderConfig) -> dict[str, torch.Tensor]:
    from gguf.quants import dequantize

    weights = {}
    for tensor in reader.tensors:
        if tensor.name == "rope_freqs.weight":
            raise ValueError("rope_freqs.weight present, this decoder runs only unscaled rotary positions")
        value = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy()).float()
        if ".attn_q." in tensor.name:
            value = _unpermute(value, config.num_attention_heads)
        elif ".attn_k." in tensor.name:
            value = _unpermute(value, config.num_key_value_heads)
        weights[_hugging_face_name(tensor.name)] = value
    return weights


def _hugging_face_name(name: str) -> str:
    """blk.7.attn_q.weight -> model.layers.7.self_attn.q_proj.weight; KeyError for a part that Llama lacks."""
    layer, part = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.weight", name).groups()  # type: ignore[union-attr]
    prefix = "" if layer is None else f"model.layers.{layer}."
    return f"{prefix}{_GGUF_NAMES[part]}.weight"


def _unpermute(weight: torch.Tensor, heads: int) -> torch.Tensor:
    # GGUF orders each head's rows for rotating neighbours (0, 1), (2, 3), ...; the Hugging Face layout, and
    # lm.model.rotate, pair row i with i + D/2.
    rows, columns = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, columns)  # (H, D/2, 2, C)
    return pairs.transpose(1, 2).reshape(rows, columns).contiguous()


def _gguf_vocabulary(reader: GGUFReader) -> Vocabulary:
    kind = _field(reader, "tokenizer.ggml.model")
    if kind != "gpt2":
        raise ValueError(f"tokenizer {kind!r}, this code builds only byte-level BPE ('gpt2')")
    return Vocabulary(
        tokens=tuple(_field(reader, "tokenizer.ggml.tokens")),
        kinds=tuple(_field(reader, "tokenizer.ggml.token_type")),
        merges=tuple(_field(reader, "tokenizer.ggml.merges")),
        splitting=_field(reader, "tokenizer.ggml.pre"),
    )
