"""The OpenVINO export of a small random decoder: torch's numbers, the plugin's fused graph, no torch inside."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
import threading
from collections import Counter
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch

from lm.batch import pad_left
from lm.checkpoint import save
from lm.compress import group
from lm.config import read_config
from lm.decode import greedy
from lm.engine import load_engine
from lm.errors import CheckpointBroken, CheckpointMissing
from lm.export import export_openvino
from lm.model import Decoder, DecoderConfig
from lm.openvino_engine import OpenVinoEngine, OpenVinoSession, _has_bf16, output_of
from lm.ov import ov

NEVER: frozenset[int] = frozenset()
CONFIG = DecoderConfig(
    vocab_size=300,
    hidden_size=192,
    intermediate_size=256,
    num_hidden_layers=2,
    num_attention_heads=6,
    num_key_value_heads=2,
    head_dim=32,  # the plugin fuses attention with the cache only for widths like those of real models
    window=200,
)


@pytest.fixture(scope="module")
def model() -> Decoder:
    torch.manual_seed(13)
    model = Decoder(CONFIG)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return model.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model: Decoder) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    save(model, folder)
    with redirect_stdout(StringIO()) as printed:
        export_openvino(folder, folder / "float32", weights="float32")
        export_openvino(folder, folder / "int8")
        export_openvino(folder, folder / "int4", weights="int4")
    # Commands print one JSON object on stdout and nothing else; converters like to draw tables and bars there.
    assert printed.getvalue() == ""
    return folder


@pytest.fixture(scope="module")
def exact(folder: Path) -> OpenVinoEngine:
    return OpenVinoEngine(folder / "float32", CONFIG, {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"})


def prompts(count: int) -> list[list[int]]:
    generator = np.random.default_rng(2)
    return [generator.integers(0, 300, size=generator.integers(1, 60)).tolist() for _ in range(count)]


def is_greedy(model: Decoder, prompt: list[int], answer: list[int]) -> bool:
    """Whether each token of ``answer`` is the model's choice after those before it: one forward, not one a token."""
    with torch.no_grad():
        choices = model(torch.tensor([prompt + answer]))[0, len(prompt) - 1 : -1].argmax(-1)
    return bool(choices.tolist() == answer)


def test_fp32_export_is_torch(exact: OpenVinoEngine, model: Decoder) -> None:
    for prompt in prompts(5):
        with exact.session(100) as session, torch.no_grad():
            fed: list[int] = []
            for piece in (prompt, [7], [8, 9, 10], [11]):  # prompt, step, run of guesses, step
                logits = session.feed(piece)
                fed += piece
                expected = model(torch.tensor([fed]))[0, -1].numpy()
                assert np.abs(logits - expected).max() < 1e-3
    for prompt in prompts(10):
        assert is_greedy(model, prompt, [step.token for step in greedy(exact, prompt, 20, NEVER)])


@pytest.mark.parametrize("bits", [8, 4])
def test_a_compressed_export_is_torch_with_weights_rounded_alike(folder: Path, model: Decoder, bits: int) -> None:
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for name, weight in rounded.named_parameters():
            if weight.ndim == 2:
                own = 8 if "embed" in name or "lm_head" in name else bits  # what ids are looked up in keeps eight
                weight.copy_(torch.from_numpy(group(weight.numpy(), bits=own).restore()))
    engine = OpenVinoEngine(folder / f"int{bits}", CONFIG, {"INFERENCE_PRECISION_HINT": "f32"})
    for prompt in prompts(10):
        with engine.session(100) as session, torch.no_grad():
            difference = torch.from_numpy(session.feed(prompt)) - rounded(torch.tensor([prompt]))[0, -1]
            assert difference.abs().max() < 1e-2
        assert is_greedy(rounded, prompt, [step.token for step in greedy(engine, prompt, 20, NEVER)])


needs_bf16 = pytest.mark.skipif(not _has_bf16(), reason="this processor has no bf16, so prompts are read in f32")


@needs_bf16
@pytest.mark.parametrize("lengths", [(50,), (60, 45, 34)])
def test_a_prompt_read_in_bf16_is_gone_on_from_in_f32(folder: Path, lengths: tuple[int, ...]) -> None:
    """Keys and values that reach the writer in another order, or without the padding, change the logits wholly."""
    draw = np.random.default_rng(5)
    ids, mask = pad_left([draw.integers(0, 300, size=length).tolist() for length in lengths])
    apart = load_engine(folder)
    alike = OpenVinoEngine(folder / "int8", CONFIG, {"INFERENCE_PRECISION_HINT": "f32"})
    with apart.session(100) as session, alike.session(100) as exact:
        for new, seen in ((ids, mask), (ids[:, :1], None), (ids[:, 1:3], None)):
            found, expected = session.feed_rows(new, seen), exact.feed_rows(new, seen)
            assert 0 < np.abs(found - expected).mean() < 0.05 * expected.std()


@pytest.mark.parametrize("apart", [pytest.param(True, marks=needs_bf16), False])
def test_prompts_of_many_lengths_are_read_at_few(folder: Path, apart: bool) -> None:
    """The plugin keeps megabytes for each length that it has read: a server grew with every new one."""
    plain = OpenVinoEngine(folder / "int8", CONFIG, {"INFERENCE_PRECISION_HINT": "f32"})
    engine, read = load_engine(folder) if apart else plain, set()
    for length in range(41, 80):
        with engine.session(100) as session:
            session.feed(list(range(length)))
            assert isinstance(session, OpenVinoSession)
            request = session._reader if apart else session._writer
            read.add(request.get_tensor("ids").shape[1])
    assert read == {48, 64, 80}


@needs_bf16
def test_padding_behind_a_prompt_changes_no_bit_of_it(folder: Path) -> None:
    """Padded in front, it was read with other numbers, and cut, up to eight of its tokens were read one by one."""
    ids = np.random.default_rng(7).integers(0, 300, size=48)
    with load_engine(folder).session(100) as session:
        assert isinstance(session, OpenVinoSession)
        states = session._writer.query_state()
        whole = [new.data.copy() for new in session._read_one(ids, states)]  # (1, G, 48, D) each
        for count in (41, 43, 47):
            for new, expected in zip(session._read_one(ids[:count], states), whole, strict=True):
                np.testing.assert_array_equal(new.data[:, :, :count], expected[:, :, :count])


@pytest.mark.parametrize("lengths", [(41,), (63, 45, 34)])
def test_padding_before_a_prompt_changes_nothing(folder: Path, lengths: tuple[int, ...]) -> None:
    """It stands for no token: positions, attention, and what is dropped and fed later are those of the prompt."""
    engine = OpenVinoEngine(folder / "float32", CONFIG, {"INFERENCE_PRECISION_HINT": "f32"})
    draw = np.random.default_rng(6)
    ids, mask = pad_left([draw.integers(0, 300, size=length).tolist() for length in lengths])
    with engine.session(100) as session, engine.session(100) as pieces:
        whole = session.feed_rows(ids, mask)
        pieces.feed_rows(ids[:, :20], mask[:, :20])  # short, so that it is not padded
        np.testing.assert_allclose(whole, pieces.feed_rows(ids[:, 20:], mask[:, 20:]), atol=1e-4)
        for one in (session, pieces):
            one.feed_rows(ids[:, 1:4])
            one.drop(2)
        again = [one.feed_rows(ids[:, 5:7]) for one in (session, pieces)]
        np.testing.assert_allclose(again[0], again[1], atol=1e-4)


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_what_a_call_adds_to_the_state_is_an_output_too(folder: Path, kind: str) -> None:
    engine = OpenVinoEngine(folder / kind, CONFIG, {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"})
    with engine.session(100) as session:
        request = session._writer
        for count, begins in ((7, 0), (3, 7)):
            session.feed(list(range(count)))
            states = request.query_state()
            assert len(states) == 2 * CONFIG.num_hidden_layers
            for state in states:
                new = request.get_tensor(output_of(state.name)).data  # (B, G, T, D)
                assert np.array_equal(new, state.state.data[:, :, begins:]), state.name


@needs_bf16
def test_what_one_precision_keeps_on_disk_is_not_taken_for_anothers(folder: Path, tmp_path: Path) -> None:
    """OpenVINO took the f32 graph's file for the bf16 one's: one answer in twenty was another, some wildly so."""
    ids = np.random.default_rng(6).integers(0, 300, size=(1, 60))
    found = []
    for name, before in (("alone", ()), ("after", ("f32",))):
        shutil.copytree(folder / "int8", tmp_path / name, ignore=shutil.ignore_patterns("cache"))
        for precision in (*before, "bf16"):
            engine = OpenVinoEngine(tmp_path / name, CONFIG, {"INFERENCE_PRECISION_HINT": precision})
            with engine.session(100) as session:
                logits = session.feed_rows(ids)
        found.append(logits)
    assert np.array_equal(found[0], found[1])


def test_embeddings_and_head_are_one_int8_matrix(folder: Path) -> None:
    weights = sum(weight.numel() for weight in Decoder(CONFIG).parameters())
    # A byte a weight, and a scale and a zero point of four bytes for every 32.
    assert (folder / "int8" / "model.bin").stat().st_size < 1.3 * weights
    assert (folder / "int4" / "model.bin").stat().st_size < 0.95 * (folder / "int8" / "model.bin").stat().st_size


def test_padded_batch_and_several_positions(folder: Path, model: Decoder) -> None:
    # The engine sends neither yet; batches and guessed tokens will, without a new export.
    compiled = ov.Core().compile_model(
        folder / "float32" / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
    )
    request = compiled.create_infer_request()
    ids = np.random.default_rng(4).integers(0, 300, size=(2, 12))
    mask = np.ones((2, 12), dtype=np.int64)
    mask[1, :5] = 0
    with torch.no_grad():
        expected = model(torch.from_numpy(ids), torch.from_numpy(mask).bool()).numpy()
    rows = np.arange(2, dtype=np.int32)
    first = request.infer({"ids": ids[:, :9], "mask": mask[:, :9], "at": np.array([8, 6]), "beam_idx": rows})["logits"]
    assert np.abs(first - expected[:, [8, 6]]).max() < 1e-3
    # beam_idx [1, 1]: both rows go on from what row 1 has read.
    twice = {"ids": ids[[1, 1], 9:], "mask": mask[[1, 1]], "at": np.array([2]), "beam_idx": np.array([1, 1], np.int32)}
    later = request.infer(twice)["logits"]
    assert np.abs(later - expected[[1, 1]][:, [11]]).max() < 1e-3


def test_attention_and_cache_are_one_node(exact: OpenVinoEngine) -> None:
    # Unfused, attention is MatMul, Softmax, MatMul over a cache that is copied at every token: half the speed.
    nodes = exact._writer.get_runtime_model().get_ops()
    kinds = Counter(node.get_rt_info()["layerType"].astype(str) for node in nodes)
    assert kinds["ScaledDotProductAttention"] == CONFIG.num_hidden_layers
    assert kinds["Softmax"] == kinds["MatMul"] == 0
    assert kinds["MemoryInput"] == kinds["MemoryOutput"] == 2 * CONFIG.num_hidden_layers


def test_a_request_used_again_has_forgotten_the_last_one(exact: OpenVinoEngine) -> None:
    first, second = prompts(2)
    fresh = [step.token for step in greedy(exact, second, 8, NEVER)]
    for step in greedy(exact, first, 20, NEVER):  # left half-way, like a client that hangs up
        assert step.token >= 0
        break
    assert [step.token for step in greedy(exact, second, 8, NEVER)] == fresh
    assert exact._idle.qsize() == 1


def test_threads(exact: OpenVinoEngine) -> None:
    alone = [[step.token for step in greedy(exact, prompt, 10, NEVER)] for prompt in prompts(4)]
    together: dict[int, list[int]] = {}

    def work(i: int, prompt: list[int]) -> None:
        together[i] = [step.token for step in greedy(exact, prompt, 10, NEVER)]

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(prompts(4))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[i] for i in range(4)] == alone


def test_the_number_of_threads_reaches_the_plugin(folder: Path) -> None:
    """The setting once stopped at the encoder, and the generator took every core."""
    engine = load_engine(folder, threads=1)
    assert isinstance(engine, OpenVinoEngine)
    assert engine._writer.get_property("INFERENCE_NUM_THREADS") == 1


def test_answering_imports_no_torch(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from lm.engine import load_engine; from lm.decode import greedy\n"
        "import lm.tokenizer\n"
        f"steps = list(greedy(load_engine(Path({str(folder)!r})), [1, 2, 3], 4, frozenset()))\n"
        "assert len(steps) == 4\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules and 'nncf' not in sys.modules\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_unknown_weights(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="weights 'int3'"):
        export_openvino(folder, tmp_path, weights="int3")


@pytest.mark.parametrize("name", ["model.xml", "model.bin"])
def test_damaged_export(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copy(folder / "config.json", tmp_path)
    shutil.copytree(folder / "int8", tmp_path / "int8", ignore=shutil.ignore_patterns("cache"))
    path = tmp_path / "int8" / name
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointBroken, match=r"int8.*export the model again"):
        load_engine(tmp_path)
    path.unlink()
    with pytest.raises(CheckpointMissing, match=name.replace(".", r"\.")):
        load_engine(tmp_path)


def test_damaged_compiled_blob_is_made_again(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "config.json", tmp_path)
    shutil.copytree(folder / "int8", tmp_path / "int8", ignore=shutil.ignore_patterns("cache"))
    expected = [step.token for step in greedy(load_engine(tmp_path), [1, 2, 3], 5, NEVER)]
    blobs = list((tmp_path / "int8" / "cache").glob("*/*.blob"))
    assert blobs
    for blob in blobs:
        blob.write_bytes(blob.read_bytes()[: blob.stat().st_size // 2])
    assert [step.token for step in greedy(load_engine(tmp_path), [1, 2, 3], 5, NEVER)] == expected


def test_config_of_the_folder_is_what_was_exported(folder: Path) -> None:
    assert read_config(folder) == CONFIG
