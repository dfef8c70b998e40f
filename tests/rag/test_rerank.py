"""The served reranker says what the trained one says, whatever the batch; its probability is a calibrated one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lm.cross_encoder import CrossEncoder
from lm.errors import CheckpointBroken
from lm.export_cross import export_cross
from rag.rerank import CALIBRATION_FILE, FEATURES, Calibration, OpenVinoReranker, features, pair_ids
from rag.rerank_export import export_reranker
from rag.types import ModelBroken, ModelMissing
from tests.tiny_bert import make_tiny_bert
from train.bert import ADAPTER_FILE, load_bert, load_tokenizer, padded, save_trained

QUESTION = "when does the heater start?"
PASSAGES = ("heater\nit starts below three degrees.", "\nthe battery lasts a year.", "x\n" + "long " * 300)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def model(base: Path) -> CrossEncoder:
    torch.manual_seed(5)
    model = CrossEncoder(load_bert(base), seed=5)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.05 * torch.randn_like(weight))
    return model


@pytest.fixture(scope="module")
def folder(base: Path, model: CrossEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    trained, out = tmp_path_factory.mktemp("trained"), tmp_path_factory.mktemp("out")
    save_trained(model, trained)
    (trained / CALIBRATION_FILE).write_text(json.dumps({"weights": dict.fromkeys(FEATURES, 0.5), "bias": -1}))
    export_reranker(base, trained / ADAPTER_FILE, out, "tiny")
    return out


def test_the_graph_says_what_torch_says(base: Path, model: CrossEncoder, folder: Path) -> None:
    tokenizer = load_tokenizer(base)
    pairs = [pair_ids(tokenizer, QUESTION, passage, 256) for passage in PASSAGES]
    with torch.inference_mode():
        expected = model(**padded([ids for ids, _ in pairs], [start for _, start in pairs])).numpy()
    found = OpenVinoReranker(folder, threads=1, read_tokens=256).logits(QUESTION, PASSAGES)
    np.testing.assert_allclose(found, expected, atol=0.08)  # int8 weights and bf16 against bf16 and fp32


def test_pairs_are_what_the_tokenizer_makes_of_them(base: Path) -> None:
    tokenizer = load_tokenizer(base)
    ids, start = pair_ids(tokenizer, QUESTION, PASSAGES[1], 256)
    whole = tokenizer.encode(QUESTION, PASSAGES[1])
    assert list(ids) == whole.ids
    assert whole.type_ids.index(1) == start
    cut, start = pair_ids(tokenizer, "why " * 200, PASSAGES[2], 256)
    assert len(cut) == 256 and cut[-1] == cut[start - 1] == 3


def test_of_a_long_passage_the_sentences_asked_for_are_read(base: Path, folder: Path) -> None:
    filler, key = "the battery lasts a year.", "the heater starts below three degrees."
    long, read = f"station\n{filler * 20} {key} {filler * 20}", f"station\n{filler} {key}"
    room = len(load_tokenizer(base).encode(read, add_special_tokens=False).ids)
    reranker = OpenVinoReranker(folder, threads=1, read_tokens=room)
    np.testing.assert_array_equal(*reranker.logits(QUESTION, [long, read]))
    np.testing.assert_array_equal(reranker.logits(QUESTION, [long])[0], reranker.logits(QUESTION, [read, long])[1])
    first, second = OpenVinoReranker(folder, threads=1, read_tokens=256).logits(QUESTION, [long, read])
    assert not np.allclose(first, second)


def test_no_passages_no_logits(folder: Path) -> None:
    assert OpenVinoReranker(folder, threads=1).logits(QUESTION, ()).shape == (0, 2)


def test_the_probability_by_hand(folder: Path) -> None:
    calibration = OpenVinoReranker(folder, threads=1).calibration
    assert calibration is not None
    logits = np.array([[2.0, 1.0], [0.5, 3.0], [-1.0, -4.0], [0.0, -9.0]], dtype=np.float32)
    assert features(logits) == {
        "answers_best": 3.0, "answers_mean3": 0.0, "relevant_best": 2.0, "relevant_lead": 1.5,
    }  # fmt: skip
    assert calibration.probability(logits) == pytest.approx(1 / (1 + np.exp(-(0.5 * 6.5 - 1))))
    assert calibration.probability(np.zeros((0, 2), dtype=np.float32)) == 0.0


def test_what_is_missing_or_altered_says_so(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="models pull"):
        OpenVinoReranker(tmp_path)
    with pytest.raises(ModelBroken, match="cannot be read"):
        (tmp_path / "c.json").write_text('{"weights": {}}')
        Calibration.read(tmp_path / "c.json")
    graph = folder / "openvino_model.bin"
    data = graph.read_bytes()
    try:
        graph.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(ModelBroken, match="was altered"):
            OpenVinoReranker(folder)
    finally:
        graph.write_bytes(data)


def test_weights_of_another_base_are_refused(folder: Path, model: CrossEncoder, tmp_path: Path) -> None:
    other = make_tiny_bert(tmp_path / "other")
    (tmp_path / "trained").mkdir()
    weights = dict(model.named_parameters())
    from safetensors.torch import save_file

    name = "bert.encoder.layer.0.output.dense.bias"
    save_file({name: torch.zeros(7), "head.weight": weights["head.weight"].detach()}, tmp_path / ADAPTER_FILE)
    (tmp_path / "out").mkdir()
    with pytest.raises(ModelBroken, match="not what out was trained on"):
        export_reranker(other, tmp_path / ADAPTER_FILE, tmp_path / "out", "tiny")


def test_a_head_of_another_width_is_refused(base: Path, tmp_path: Path) -> None:
    head = {"weight": np.zeros((2, 6), dtype=np.float16), "bias": np.zeros(2, dtype=np.float16)}
    with pytest.raises(CheckpointBroken, match="another head"):
        export_cross(base, head, tmp_path / "graph.xml")
