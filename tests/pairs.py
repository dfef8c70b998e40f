"""A tiny base encoder with a tokenizer of whole words, for the tests of the pair encoders: fast, of the real kind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

CONFIG = {
    "vocab_size": 0,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def write_base(folder: Path, texts: Iterable[str], width: int = 64) -> Path:
    """A random two-layer BERT in ``folder``, ``width`` wide; its tokens are the words of ``texts`` and characters."""
    from transformers import BertConfig, BertModel

    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower())})
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters), *words]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = CONFIG | {"vocab_size": len(vocabulary), "hidden_size": width, "intermediate_size": 2 * width}
    torch.manual_seed(5)
    model = BertModel(BertConfig(**config))
    save_file({name: value.clone() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def ready(head: str, folder: Path, texts: Iterable[str], calibration: dict[str, float] | None = None) -> Path:
    """A pair encoder as `models pull` makes it, untrained, in ``folder``/made."""
    from lm.pair_encoder import from_base, save_compact
    from rag.pair_model import CARD_FILE, PAIR_WEIGHTS
    from rag.weights_trained import TrainedModel, make_trained

    base, shipped, made = write_base(folder / "base", texts), folder / "shipped", folder / "made"
    torch.manual_seed(7)
    save_compact(from_base(base, head), shipped / PAIR_WEIGHTS)
    card = {"name": f"tiny-{head}", "head": head, "max_tokens": 320, "calibration": calibration or {}}
    (shipped / CARD_FILE).write_text(json.dumps(card), encoding="utf-8")
    made.mkdir()
    model = TrainedModel(f"tiny-{head}", head, "0", "base", shipped, file=PAIR_WEIGHTS)
    make_trained(model, base, made)
    return made
