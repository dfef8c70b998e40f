"""The exported folder in transformers, loaded from disk alone: our logits, our chat prompts, our end of an answer."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from lm.checkpoint import load, save
from lm.decode import greedy
from lm.engine import load_engine
from lm.errors import CheckpointBroken, CheckpointMissing
from lm.export_hf import CHAT_TEMPLATE, export_hf
from lm.model import Decoder
from lm.staging import ExportFailed
from lm.tokenizer import Message, Tokenizer
from rag.datafiles import read_qa
from rag.prompt import build_prompt
from rag.types import Passage, Question
from train.batches import PASSAGE_TOKENS, counter

GOLDEN = Path(__file__).resolve().parents[2] / "eval" / "golden" / "examples.jsonl"
FILES = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
CHATS = [
    [Message("user", "Cost?")],
    [Message("system", "Be brief."), Message("user", "[1] Pump: 24 months.\n\nCost? ")],
    [Message("user", "größer 🙂"), Message("assistant", " 3 €\n"), Message("user", "x")],
    [Message("system", ""), Message("user", "")],
]


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def exported(tiny_folder: Path, tmp_path: Path) -> Path:
    paths = export_hf(tiny_folder, tmp_path / "out")
    assert paths == [tmp_path / "out" / name for name in FILES]
    return tmp_path / "out"


def their_model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def their_ids(tokenizer: Any, chat: Sequence[Message]) -> list[int]:
    turns = [{"role": message.role, "content": message.text} for message in chat]
    return list(tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False))


def furthest(ours: Decoder, theirs: Any, ids: Sequence[int]) -> float:
    """The largest difference between the logits of both."""
    row = torch.tensor([list(ids)])
    with torch.inference_mode():
        return float((ours(row) - theirs(row).logits).abs().max())


def test_logits_and_greedy_answers_are_ours(tiny_folder: Path, exported: Path, tokenizer: Tokenizer) -> None:
    ours, theirs, engine = load(tiny_folder), their_model(exported), load_engine(tiny_folder)
    for chat in (CHATS[1], CHATS[3]):  # what the tiny model's window has room for
        ids = tokenizer.chat(chat)
        assert furthest(ours, theirs, ids) < 1e-4
        answer = [step.token for step in greedy(engine, ids, 8, tokenizer.stop_ids)]
        written = theirs.generate(torch.tensor([ids]), max_new_tokens=8)[0, len(ids) :].tolist()
        assert [id for id in written if id not in tokenizer.stop_ids] == answer
    assert set(theirs.generation_config.eos_token_id) == tokenizer.stop_ids
    assert theirs.generation_config.do_sample is False


@pytest.mark.parametrize("chat", CHATS)
def test_chat_prompts_are_ours(exported: Path, tokenizer: Tokenizer, chat: list[Message]) -> None:
    theirs = AutoTokenizer.from_pretrained(exported)
    assert their_ids(theirs, chat) == tokenizer.chat(chat)
    assert (theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id) == (1, 2, 2)
    assert theirs.decode(tokenizer.encode("24 months , x"), skip_special_tokens=True) == "24 months , x"


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_an_untied_head_and_the_dtype_of_the_weights_are_kept(
    tiny_model: Decoder, tiny_folder: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    torch.manual_seed(1)
    model = Decoder(replace(tiny_model.config, tie_word_embeddings=False)).to(dtype)
    save(model, tmp_path / "model")
    shutil.copyfile(tiny_folder / "tokenizer.json", tmp_path / "model" / "tokenizer.json")
    export_hf(tmp_path / "model", tmp_path / "out")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto")
    assert theirs.dtype == dtype
    assert torch.equal(theirs.lm_head.weight, model.lm_head.weight)
    assert not torch.equal(theirs.lm_head.weight, model.model.embed_tokens.weight)


def test_a_second_export_replaces_the_first_and_leaves_other_files(tiny_folder: Path, exported: Path) -> None:
    (exported / "config.json").write_text("old")
    (exported / "NOTES.md").write_text("kept")
    export_hf(tiny_folder, exported)
    assert json.loads((exported / "config.json").read_text())["torch_dtype"] == "float32"
    assert sorted(path.name for path in exported.iterdir()) == sorted([*FILES, "NOTES.md"])


def test_what_is_missing_or_broken_is_not_exported(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointMissing, match=r"none/config\.json"):
        export_hf(tmp_path / "none", tmp_path / "out")
    copy = Path(shutil.copytree(tiny_folder, tmp_path / "copy"))
    whole = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(CheckpointBroken, match=r"model\.safetensors"):
        export_hf(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_models_own_folder_is_refused(tiny_folder: Path) -> None:
    with pytest.raises(ExportFailed, match="own folder; name another"):
        export_hf(tiny_folder, tiny_folder / ".." / tiny_folder.name)


def test_a_full_disk_leaves_what_was_there(
    tiny_folder: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = {path.name: path.read_bytes() for path in exported.iterdir()}
    monkeypatch.setattr("lm.export_hf.shutil.copyfile", full)
    for out in (exported, tmp_path / "new"):
        with pytest.raises(ExportFailed, match=r"the disk of .* is full; free some"):
            export_hf(tiny_folder, out)
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == before
    assert not (tmp_path / "new").exists()


def test_a_place_that_cannot_be_written_is_named(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ExportFailed, match=r"file cannot be written .*; name another folder"):
        export_hf(tiny_folder, tmp_path / "file")


@pytest.mark.models
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_shipped_generator_in_transformers(models_home: Path, tmp_path: Path) -> None:
    source = models_home / "models" / "answerable-135m"
    export_hf(source, tmp_path)
    tokenizer, theirs = Tokenizer.load(source), AutoTokenizer.from_pretrained(tmp_path)
    chats = golden_chats(tokenizer, 50)
    prompts = [tokenizer.chat(chat) for chat in chats]
    assert [their_ids(theirs, chat) for chat in chats] == prompts
    assert theirs.chat_template == CHAT_TEMPLATE
    ours, model = load(source), their_model(tmp_path)
    assert max(furthest(ours, model, ids) for ids in prompts[::5]) < 1e-3
    stored, kept = load_file(source / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(value, kept[name]) for name, value in stored.items())


def golden_chats(tokenizer: Tokenizer, count: int) -> list[Sequence[Message]]:
    """The prompts that the pipeline makes of the golden questions over their own passages, from all over the file."""
    rows = read_qa(GOLDEN)
    chats: list[Sequence[Message]] = []
    for row in rows[:: len(rows) // count][:count]:
        passages = [Passage(0, "", text.title, "", 0, len(text.text), text.text, text.title) for text in row.passages]
        question = Question(row.question, history=row.history)
        chats.append(build_prompt(question, passages, PASSAGE_TOKENS, counter(tokenizer)).messages)
    return chats
