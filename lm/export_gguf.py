"""A model folder as one GGUF file, the format of llama.cpp: sizes, tokenizer, chat template, weights.

    f16     2 bytes a weight; the same weights as a float16 checkpoint, to the last bit
    q8_0    34 bytes a block of 32 weights: a float16 scale and 8 bits each
    q4_1    20 bytes a block: a float16 scale, a float16 least value and 4 bits each
    q4_0    18 bytes a block: a float16 scale and 4 bits each

In q4_1 and q4_0 files the embedding, and the head where it is another matrix, are q8_0: the head decides every token.
Norms are float32. The blocks are made by the gguf package, round to nearest, without calibration.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from lm.checkpoint import load
from lm.config import DecoderConfig
from lm.errors import CheckpointBroken
from lm.export_hf import CHAT_TEMPLATE
from lm.model import Decoder
from lm.staging import staged
from lm.tokenizer import FILE_NAME as TOKENIZER_FILE
from lm.tokenizer import Tokenizer, Vocabulary, tokenizer_json

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType, GGUFWriter

QUANTS = ("f16", "q8_0", "q4_1", "q4_0")
SPLITTINGS = ("smollm", "gpt-2")

_ARCHITECTURE = "llama"
_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4  # GGUF's token types


def export_gguf(folder: Path, out: Path, quant: str = "q8_0") -> Path:
    """Write the checkpoint in ``folder`` to ``out``/NAME-QUANT.gguf, NAME being the folder's, and return that path.

    quant: one of QUANTS. Raises ValueError for another one, CheckpointMissing or CheckpointBroken for the checkpoint,
    ExportFailed when ``out`` cannot be written; a file of that name is replaced when the new one is whole.
    """
    if quant not in QUANTS:
        raise ValueError(f"quant {quant!r} is not one of {', '.join(QUANTS)}: use one of them")
    model = load(folder)
    vocabulary = read_vocabulary(folder)
    if len(vocabulary.tokens) != model.config.vocab_size:
        raise CheckpointBroken(
            f"{folder / TOKENIZER_FILE}: {len(vocabulary.tokens)} tokens for embeddings of {model.config.vocab_size}; "
            "bring weights and tokenizer of one model"
        )
    name = f"{folder.resolve().name}-{quant.upper()}.gguf"
    with staged(out) as scratch:
        _write(scratch / name, model, vocabulary, quant)
    return out / name


def read_vocabulary(folder: Path) -> Vocabulary:
    """The vocabulary of ``folder``/tokenizer.json, the inverse of `lm.tokenizer.tokenizer_json`.

    Raises CheckpointMissing when there is none, CheckpointBroken when it is damaged, has gaps in its ids, or cuts
    text into words in a way that SPLITTINGS has no name for.
    """
    Tokenizer.load(folder)
    path = folder / TOKENIZER_FILE
    fields = json.loads(path.read_text(encoding="utf-8"))
    added = {token["id"]: token for token in fields["added_tokens"]}
    spelled = {id: token for token, id in fields["model"]["vocab"].items()}
    spelled |= {id: token["content"] for id, token in added.items()}
    if sorted(spelled) != list(range(len(spelled))):
        raise CheckpointBroken(f"{path}: {len(spelled)} tokens, highest id {max(spelled)}; bring the tokenizer again")
    merges = (merge if isinstance(merge, str) else " ".join(merge) for merge in fields["model"]["merges"])
    return Vocabulary(
        tokens=tuple(spelled[id] for id in range(len(spelled))),
        kinds=tuple(_kind(added.get(id)) for id in range(len(spelled))),
        merges=tuple(merges),
        splitting=_splitting(fields, path),
    )


def _kind(added: dict[str, Any] | None) -> int:
    if added is None:
        return _NORMAL
    return _CONTROL if added["special"] else _USER_DEFINED


def _splitting(fields: dict[str, Any], path: Path) -> str:
    """Which of SPLITTINGS makes the splitter that the file has."""
    if fields.get("normalizer") is None:
        for name in SPLITTINGS:
            ours = json.loads(tokenizer_json(Vocabulary((), (), (), name)))
            if ours["pre_tokenizer"] == fields["pre_tokenizer"]:
                return name
    raise CheckpointBroken(
        f"{path}: cuts text into words in its own way, GGUF export knows {' and '.join(SPLITTINGS)}; "
        "use a model with SmolLM's or GPT-2's tokenizer"
    )


def _write(path: Path, model: Decoder, vocabulary: Vocabulary, quant: str) -> None:
    # Imported here: gguf takes half a second, and only a conversion needs it.
    from gguf import GGUFWriter

    writer = GGUFWriter(path, _ARCHITECTURE)
    try:
        _add_sizes(writer, model.config, quant)
        writer.add_name(path.name.rpartition("-")[0])
        _add_tokenizer(writer, model.config, vocabulary)
        for name, weight in _named_weights(model):
            kind = _kind_of(name, weight, quant)
            writer.add_tensor(name, _packed(name, weight, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _add_sizes(writer: GGUFWriter, config: DecoderConfig, quant: str) -> None:
    from gguf import GGML_QUANT_VERSION, LlamaFileType

    writer.add_type("model")
    writer.add_quantization_version(GGML_QUANT_VERSION)
    writer.add_file_type(LlamaFileType[f"MOSTLY_{quant.upper()}"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.window)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def _add_tokenizer(writer: GGUFWriter, config: DecoderConfig, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")  # byte-level BPE
    writer.add_tokenizer_pre(vocabulary.splitting)
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types(list(vocabulary.kinds))
    writer.add_token_merges(list(vocabulary.merges))
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    if config.bos_token_id is not None:
        writer.add_bos_token_id(config.bos_token_id)
    if config.eos_token_id is not None:
        writer.add_eos_token_id(config.eos_token_id)
        writer.add_pad_token_id(config.eos_token_id)
    writer.add_chat_template(CHAT_TEMPLATE)


def _named_weights(model: Decoder) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The weights under GGUF's names, fp32; rows of q and k in GGUF's order, a tied head left out."""
    from gguf import MODEL_ARCH, get_tensor_name_map

    config = model.config
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        weight = value.float()
        if ".q_proj." in name:
            weight = permute(weight, config.num_attention_heads)
        elif ".k_proj." in name:
            weight = permute(weight, config.num_key_value_heads)
        yield names.get_name(name, try_suffixes=(".weight",)), weight.numpy()


def permute(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of q or k as GGUF has them, (H D, C): it turns rows 2i and 2i + 1 of a head, lm.model rows i and i + D/2."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)  # (H, 2, D/2, C)
    return halves.transpose(1, 2).reshape(rows, columns).contiguous()


def _kind_of(name: str, weight: NDArray[np.float32], quant: str) -> GGMLQuantizationType:
    from gguf import GGML_QUANT_SIZES
    from gguf import GGMLQuantizationType as Kind

    if weight.ndim == 1:
        return Kind.F32
    kind = Kind[quant.upper()]
    if name in ("token_embd.weight", "output.weight") and kind != Kind.F16:
        kind = Kind.Q8_0
    # Rows that are not whole blocks stay float16, as llama.cpp's converter leaves them.
    return kind if weight.shape[-1] % GGML_QUANT_SIZES[kind][0] == 0 else Kind.F16


def _packed(name: str, weight: NDArray[np.float32], kind: GGMLQuantizationType) -> NDArray[Any]:
    from gguf.quants import quantize

    largest = float(np.abs(weight).max(initial=0.0))
    if not largest <= float(np.finfo(np.float16).max):  # a NaN is not, either
        raise CheckpointBroken(f"{name}: largest weight {largest}, float16 holds up to 65504; bring the model again")
    packed: NDArray[Any] = quantize(weight, kind)
    return packed
