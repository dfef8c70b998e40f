"""A base of the real kind, but tiny: every byte a token, two layers; and a folder of question files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import pre_tokenizers

from lm.checkpoint import save
from lm.model import Decoder, DecoderConfig
from lm.tokenizer import Tokenizer, Vocabulary, tokenizer_json

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
PLACES = ("Aldon", "Berrow", "Corvane", "Dunmere", "Eskford", "Farholt", "Glenmoor", "Hartwick")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random 2-layer decoder with a byte vocabulary."""
    tokens = (*CONTROL, *sorted(pre_tokenizers.ByteLevel.alphabet()))
    kinds = tuple(3 if token in CONTROL else 1 for token in tokens)
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(3)
    model = Decoder(
        DecoderConfig(
            vocab_size=len(tokens),
            hidden_size=48,
            intermediate_size=80,
            num_hidden_layers=2,
            num_attention_heads=6,
            num_key_value_heads=2,
            head_dim=8,
            window=4096,
        )
    )
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)  # wide enough that attention is far from flat
    save(model, folder)
    (folder / "tokenizer.json").write_text(tokenizer_json(Vocabulary(tokens, kinds, (), "gpt-2")), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tokenizer(base: Path) -> Tokenizer:
    return Tokenizer.load(base)


def qa_row(id: str, question: str, text: str, answers: list[str], title: str = "", **more: Any) -> dict[str, Any]:
    passages = [{"title": title, "text": text}]
    fields = {"id": id, "dataset": "test", "question": question, "passages": passages, "answers": answers}
    return fields | {"answerable": bool(answers)} | more


def place_text(number: int) -> str:
    name = PLACES[number]
    return (
        f"The town of {name} was founded in {1801 + number}. Its mayor is Ms. Warden{name}, and the river that the "
        f"town stands on is called the {name}water. Farmers of {name} grow {10 + number} kinds of apples."
    )


def place_rows(number: int) -> list[dict[str, Any]]:
    name, text = PLACES[number], place_text(number)
    title = "Towns of the north" if number < 5 else "Towns of the south"
    return [
        qa_row(f"{name}-1", f"When was the town of {name} founded?", text, [f"{1801 + number}"], title),
        qa_row(f"{name}-2", f"Who is mayor of {name}?", text, [f"Warden{name}", f"Ms. Warden{name}"], title),
        qa_row(f"{name}-3", f"On which river does {name} stand?", text, [f"the {name}water"], title),
    ]


@pytest.fixture(scope="session")
def write_rows() -> Callable[[Path, list[dict[str, Any]]], None]:
    """A function that writes a question file."""

    def write(path: Path, rows: list[dict[str, Any]]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    return write


@pytest.fixture
def train_folder(tmp_path: Path, write_rows: Callable[..., None]) -> Path:
    """Question files to train on: spans of eight towns, yes/no questions, a dialogue."""
    folder = tmp_path / "train"
    write_rows(folder / "squad.jsonl", [row for number in range(8) for row in place_rows(number)])
    statements = [(f"is {name} a town", f"{name} -- {name} is a town.", ["yes"]) for name in PLACES]
    write_rows(folder / "boolq.jsonl", [qa_row(f"yn-{i}", *each) for i, each in enumerate(statements)])
    turns = "user:I lost my card.\nagent:When was\nthat?\nuser:Yesterday. What now?"
    write_rows(
        folder / "doc2dial.jsonl", [qa_row("talk", turns, "You may block it. Call us at 12.", ["Call us at 12."])]
    )
    return folder


@pytest.fixture
def dev_folder(tmp_path: Path, write_rows: Callable[..., None]) -> Path:
    """Dev files that share a question and a paragraph with `train_folder`, and have one row of each named kind."""
    folder = tmp_path / "dev"
    other = qa_row("nq-1", "WHO is mayor of Farholt", "Farholt has an airport of two runways.", ["two runways"])
    write_rows(folder / "nq_oracle.jsonl", [other])
    whole = qa_row("sq-1", "Who swims there?", place_text(0), [], "Aldon")
    write_rows(folder / "squad2.jsonl", [whole, qa_row("sq-2", "What is grown?", place_text(0), ["apples"], "Aldon")])
    write_rows(folder / "boolq.jsonl", [qa_row("bq-1", "is it so", "It is so.", ["yes"])])
    return folder
