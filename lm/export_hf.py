"""A model folder as transformers takes it: weights, sizes, tokenizer, chat template, and what ends an answer.

    config.json  model.safetensors  generation_config.json  tokenizer.json  tokenizer_config.json

AutoModelForCausalLM gives the logits of lm.model.Decoder, and apply_chat_template the ids of Tokenizer.chat, but for
one thing: transformers reads text that spells a control token ("<|im_end|>") as that token.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors import safe_open

from lm.checkpoint import WEIGHTS_FILE, load
from lm.config import FILE_NAME as CONFIG_FILE
from lm.config import DecoderConfig, read_config, write_config
from lm.staging import ExportFailed, staged
from lm.tokenizer import DEFAULT_SYSTEM, Tokenizer
from lm.tokenizer import FILE_NAME as TOKENIZER_FILE

# SmolLM2's own, letter by letter: what Tokenizer.chat does, for programs that read Jinja.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    + DEFAULT_SYSTEM
    + "<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
GENERATION_FILE = "generation_config.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"


def export_hf(folder: Path, out: Path) -> list[Path]:
    """Write the checkpoint in ``folder`` to ``out``, weights in the dtype they have there; returns the files written.

    Raises CheckpointMissing or CheckpointBroken for the checkpoint, ExportFailed when ``out`` is ``folder`` or cannot
    be written; files are moved there when all are whole.
    """
    if out.resolve() == folder.resolve():
        raise ExportFailed(f"{out} is the model's own folder; name another one for the export")
    config = read_config(folder)
    tokenizer = Tokenizer.load(folder)
    load(folder)  # for its checks: weights that do not fit the config are not handed on
    with staged(out) as scratch:
        write_config(config, scratch)
        fields = json.loads((scratch / CONFIG_FILE).read_text(encoding="utf-8"))
        _write(scratch / CONFIG_FILE, fields | {"torch_dtype": _dtype(folder / WEIGHTS_FILE)} | _pad(config))
        _write(scratch / GENERATION_FILE, _generation(config, tokenizer))
        _write(scratch / TOKENIZER_CONFIG_FILE, _tokenizer_config(folder, config))
        shutil.copyfile(folder / TOKENIZER_FILE, scratch / TOKENIZER_FILE)
        shutil.copyfile(folder / WEIGHTS_FILE, scratch / WEIGHTS_FILE)
        names = sorted(path.name for path in scratch.iterdir())
    return [out / name for name in names]


def _write(path: Path, fields: dict[str, Any]) -> None:
    path.write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _dtype(weights: Path) -> str:
    """Name of the dtype of the largest part, the embeddings, as torch spells it."""
    with safe_open(weights, framework="pt") as file:
        return str(file.get_tensor("model.embed_tokens.weight").dtype).removeprefix("torch.")


def _pad(config: DecoderConfig) -> dict[str, Any]:
    # transformers' generate warns, and guesses this very id, where none is given.
    return {"pad_token_id": config.eos_token_id}


def _generation(config: DecoderConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    """Greedy, to the end of the turn or of the text: what lm.decode.greedy does with Tokenizer.stop_ids."""
    stops = sorted(tokenizer.stop_ids, key=lambda id: (id != config.eos_token_id, id))
    return {"bos_token_id": config.bos_token_id, "eos_token_id": stops, "do_sample": False, **_pad(config)}


def _tokenizer_config(folder: Path, config: DecoderConfig) -> dict[str, Any]:
    """The generic class that runs tokenizer.json as it is: GPT2Tokenizer would split words in GPT-2's own way."""
    added = json.loads((folder / TOKENIZER_FILE).read_text(encoding="utf-8"))["added_tokens"]
    spelled = {token["id"]: token["content"] for token in added}
    end = spelled.get(config.eos_token_id)
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": spelled.get(config.bos_token_id),
        "eos_token": end,
        "pad_token": end,
        "model_max_length": config.window,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
