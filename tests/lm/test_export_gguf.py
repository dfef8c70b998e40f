"""The exported file against llama.cpp's converter, block arithmetic done by hand, and llama.cpp itself."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import httpx
import numpy as np
import pytest
import torch
import xllamacpp

from lm.checkpoint import from_gguf, load, read_gguf, save
from lm.errors import CheckpointBroken, CheckpointMissing
from lm.export_gguf import export_gguf, read_vocabulary
from lm.export_hf import CHAT_TEMPLATE
from lm.model import Decoder
from lm.staging import ExportFailed
from lm.tokenizer import Message, Tokenizer, Vocabulary, tokenizer_json
from rag.datafiles import read_qa
from train.measure import prompt_of

GOLDEN = Path(__file__).resolve().parents[2] / "eval" / "golden" / "examples.jsonl"
Kind = gguf.GGMLQuantizationType


@pytest.fixture(scope="module")
def blocks_folder(tmp_path_factory: pytest.TempPathFactory, tiny_model: Decoder, vocabulary: Vocabulary) -> Path:
    """A decoder whose rows are whole blocks of 32, float16, with a head of its own."""
    torch.manual_seed(11)
    folder = tmp_path_factory.mktemp("parent") / "blocks-1m"
    config = replace(
        tiny_model.config, hidden_size=64, intermediate_size=96, num_attention_heads=4, head_dim=16,
        tie_word_embeddings=False,
    )  # fmt: skip
    save(Decoder(config).half(), folder)
    (folder / "tokenizer.json").write_text(tokenizer_json(vocabulary), encoding="utf-8")
    return folder


def fields_of(path: Path) -> dict[str, Any]:
    reader = gguf.GGUFReader(path)
    return {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}


def tensors_of(path: Path) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


def test_f16_comes_back_to_the_last_bit(blocks_folder: Path, tmp_path: Path) -> None:
    path = export_gguf(blocks_folder, tmp_path, "f16")
    assert path == tmp_path / "blocks-1m-F16.gguf"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    config, weights = read_gguf(path)
    model = load(blocks_folder)
    assert config == model.config
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    from_gguf(path, tmp_path / "back")
    assert (tmp_path / "back" / "tokenizer.json").read_text() == (blocks_folder / "tokenizer.json").read_text()


def test_the_file_says_what_llama_cpps_converter_writes(
    tiny_folder: Path, tmp_path: Path, write_gguf: Callable[..., Path]
) -> None:
    theirs, ours = write_gguf(tmp_path / "theirs.gguf"), export_gguf(tiny_folder, tmp_path, "f16")
    fields = fields_of(ours)
    assert {name: fields[name] for name in fields_of(theirs)} == fields_of(theirs)
    assert fields["tokenizer.chat_template"] == CHAT_TEMPLATE
    assert fields["tokenizer.ggml.add_bos_token"] is False
    assert fields["llama.rope.dimension_count"] == fields["llama.attention.value_length"] == 8
    assert (fields["general.file_type"], fields["general.name"]) == (1, tiny_folder.name)
    expected, found = tensors_of(theirs), tensors_of(ours)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert list(found[name].shape) == list(tensor.shape)
        assert found[name].tensor_type == (Kind.F32 if tensor.data.ndim == 1 else Kind.F16)
        assert np.array_equal(found[name].data, tensor.data.astype(found[name].data.dtype))


@pytest.mark.parametrize("quant", ["q8_0", "q4_1", "q4_0"])
def test_blocks_are_rounded_to_the_nearest_step(blocks_folder: Path, tmp_path: Path, quant: str) -> None:
    path = export_gguf(blocks_folder, tmp_path, quant)
    _, weights = read_gguf(path)
    exact = load(blocks_folder).state_dict()
    for name, value in exact.items():
        kind = "q8_0" if "embed" in name or "lm_head" in name else quant
        if value.ndim == 1:
            assert torch.equal(weights[name], value)
            continue
        blocks = value.reshape(-1, 32)
        error = (weights[name].reshape(-1, 32) - blocks).abs().amax(1)
        assert bool((error <= farthest(blocks, kind) + 1e-3 * blocks.abs().amax(1)).all()), name
        assert float(error.max()) > 0
    types = {name: tensor.tensor_type.name.lower() for name, tensor in tensors_of(path).items()}
    assert (types["token_embd.weight"], types["output.weight"]) == ("q8_0", "q8_0")
    assert (types["blk.1.attn_k.weight"], types["blk.0.attn_norm.weight"]) == (quant, "f32")
    assert fields_of(path)["general.file_type"] == gguf.LlamaFileType[f"MOSTLY_{quant.upper()}"]


def farthest(blocks: torch.Tensor, kind: str) -> torch.Tensor:
    """The largest error that rounding each row of 32 can make: half a step, a whole one at the short end of q4_0."""
    largest = blocks.abs().amax(1)
    if kind == "q8_0":
        return largest / 127 / 2
    if kind == "q4_1":
        return (blocks.amax(1) - blocks.amin(1)) / 15 / 2
    return largest / 8


def test_rows_that_are_no_whole_blocks_stay_float16(tiny_folder: Path, tmp_path: Path) -> None:
    path = export_gguf(tiny_folder, tmp_path, "q4_0")  # rows of 48 and 80
    assert {tensor.tensor_type for tensor in tensors_of(path).values()} == {Kind.F32, Kind.F16}


def test_the_vocabulary_is_read_as_it_was_written(tiny_folder: Path, vocabulary: Vocabulary, tmp_path: Path) -> None:
    assert read_vocabulary(tiny_folder) == vocabulary
    plain = replace(vocabulary, splitting="gpt-2")
    (tmp_path / "tokenizer.json").write_text(tokenizer_json(plain), encoding="utf-8")
    assert read_vocabulary(tmp_path) == plain


def edited(folder: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of ``folder`` whose tokenizer.json went through ``change``."""
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    fields = json.loads((copy / "tokenizer.json").read_text(encoding="utf-8"))
    change(fields)
    (copy / "tokenizer.json").write_text(json.dumps(fields), encoding="utf-8")
    return copy


def test_older_spellings_of_a_tokenizer_are_read(tiny_folder: Path, vocabulary: Vocabulary, tmp_path: Path) -> None:
    def change(fields: dict[str, Any]) -> None:
        fields["model"]["merges"] = [" ".join(pair) for pair in fields["model"]["merges"]]
        token = {"id": len(vocabulary.tokens), "content": "<tool>", "special": False}
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        fields["added_tokens"].append(token | flags)

    found = read_vocabulary(edited(tiny_folder, tmp_path, change))
    assert found.merges == vocabulary.merges
    assert (found.tokens[-1], found.kinds[-1]) == ("<tool>", 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fields: fields.update(pre_tokenizer={"type": "Whitespace"}), "cuts text into words in its own way"),
        (lambda fields: fields.update(normalizer={"type": "NFC"}), "cuts text into words in its own way"),
        (lambda fields: fields["model"]["vocab"].update(zzz=900), "401 tokens, highest id 900"),
        (lambda fields: fields["model"]["vocab"].update(zzz=400), "401 tokens for embeddings of 400"),
    ],
)
def test_a_tokenizer_that_gguf_cannot_carry(
    tiny_folder: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    with pytest.raises(CheckpointBroken, match=message):
        export_gguf(edited(tiny_folder, tmp_path, change), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_exported_is_named(tiny_folder: Path, tiny_model: Decoder, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="quant 'q5_k' is not one of f16, q8_0, q4_1, q4_0"):
        export_gguf(tiny_folder, tmp_path, "q5_k")
    with pytest.raises(CheckpointMissing, match=r"none/config\.json"):
        export_gguf(tmp_path / "none", tmp_path / "out")
    copy = edited(tiny_folder, tmp_path, lambda fields: None)
    model = load(tiny_folder)
    for value in (7e4, float("nan")):
        with torch.no_grad():
            model.get_parameter("model.layers.1.mlp.up_proj.weight")[0, 0] = value
        save(model, copy)
        with pytest.raises(CheckpointBroken, match=r"blk\.1\.ffn_up\.weight: largest weight (7\d{4}|nan)"):
            export_gguf(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_the_file_that_was_there(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = export_gguf(tiny_folder, tmp_path, "f16")
    before = path.read_bytes()
    monkeypatch.setattr(gguf.GGUFWriter, "write_tensors_to_file", full)
    with pytest.raises(ExportFailed, match=r"the disk of .* is full; free some"):
        export_gguf(tiny_folder, tmp_path, "f16")
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@contextmanager
def llama_server(path: Path) -> Iterator[httpx.Client]:
    """llama.cpp's own server over the file, at an address of this machine."""
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.verbosity = 2048, 1, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1  # two wait for each other: OMP_NUM_THREADS is 1
    server = xllamacpp.Server(params)
    with httpx.Client(base_url=server.listening_address, timeout=120) as client:
        yield client
    del server  # stops it


def post(client: httpx.Client, path: str, **body: Any) -> Any:
    return client.post(path, json=body).raise_for_status().json()


def golden_prompts(tokenizer: Tokenizer, count: int) -> list[list[int]]:
    """Prompts of the golden questions over their own passages, from all over the file."""
    rows = read_qa(GOLDEN)
    return [list(prompt_of(row, tokenizer)) for row in rows[:: len(rows) // count][:count]]


def lead_of_torch(model: Decoder, prompt: list[int], answer: list[int]) -> float | None:
    """None where every token of ``answer``, the end included, is torch's greedy choice after those before it.

    Else, at the first one that is not: how much more probable torch finds its own choice. By induction the answer is
    torch's own if none differs; one forward instead of one a token.
    """
    at = torch.arange(len(prompt) - 1, len(prompt) + len(answer) - 1)
    with torch.inference_mode():
        chances = model(torch.tensor([[*prompt, *answer]]), at=at)[0].softmax(-1)
    for row, token in zip(chances, answer, strict=True):
        if int(row.argmax()) != token:
            return float(row.max() - row[token])
    return None


@pytest.mark.models
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("quant", ["f16", "q8_0"])
def test_llama_cpp_gives_torchs_greedy_answers(models_home: Path, tmp_path: Path, quant: str) -> None:
    """Told apart by this: rows of q and k in another order, another rope base, an end of turn that ends nothing.

    Torch computes with the file's own weights: what rounding them changes is a matter of the weights, not of the file.
    """
    source = models_home / "models" / "answerable-135m"
    tokenizer, path = Tokenizer.load(source), export_gguf(source, tmp_path, quant)
    from_gguf(path, tmp_path / "again")
    model = load(tmp_path / "again")
    prompts = golden_prompts(tokenizer, 50)
    leads = []
    with llama_server(path) as client:
        for prompt in prompts:
            wrote = post(client, "/completion", prompt=prompt, n_predict=24, temperature=0, return_tokens=True)
            assert wrote["tokens_evaluated"] == len(prompt)
            leads.append(lead_of_torch(model, prompt, wrote["tokens"]))
    differing = [lead for lead in leads if lead is not None]
    assert len(leads) == 50
    assert len(differing) <= 3, f"{len(differing)} of 50 answers differ, by {differing}"
    # With Q8_0 llama.cpp rounds what flows between the layers to eight bits, too, which may turn a close choice.
    assert all(lead <= (0.05 if quant == "f16" else 0.5) for lead in differing), differing


@pytest.mark.models
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_llama_cpp_makes_our_prompts_of_messages(models_home: Path, tmp_path: Path) -> None:
    source = models_home / "models" / "answerable-135m"
    tokenizer = Tokenizer.load(source)
    chats = [
        [Message("user", "Cost of the Kestrel 40, 2026-11-05?\n\n  größer   保証 🙂 it's\tdon't")],
        [Message("system", "Be brief."), Message("user", GOLDEN.read_text(encoding="utf-8")[:3000])],
        [Message("user", "a"), Message("assistant", "b [1]"), Message("user", "c")],
    ]
    with llama_server(export_gguf(source, tmp_path, "q8_0")) as client:
        for chat in chats:
            turns = [{"role": message.role, "content": message.text} for message in chat]
            prompt = post(client, "/apply-template", messages=turns)["prompt"]
            ids = post(client, "/tokenize", content=prompt, parse_special=True, add_special=True)["tokens"]
            assert ids == tokenizer.chat(chat)
