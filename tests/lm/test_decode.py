"""Greedy decoding against an argmax loop without a cache and against transformers' generate; sessions and their end."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lm.batch import greedy_batch
from lm.decode import greedy
from lm.engine import Engine, Session, load_engine
from lm.errors import CheckpointMissing, DeviceMissing, PromptInvalid, PromptTooLong
from lm.lookup import greedy_lookup
from lm.model import Decoder
from lm.sample import Sampling, sample
from lm.torch_engine import TorchEngine

PROMPT = [5, 17, 300, 42, 9]
NEVER: frozenset[int] = frozenset()


def prompts(count: int) -> list[list[int]]:
    random = np.random.default_rng(3)
    return [random.integers(3, 400, size=random.integers(1, 60)).tolist() for _ in range(count)]


@pytest.fixture(scope="module")
def engine(tiny_folder: Path) -> TorchEngine:
    return TorchEngine(tiny_folder)


def argmax_loop(model: Decoder, prompt: list[int], count: int) -> list[tuple[int, float]]:
    ids, steps = list(prompt), []
    with torch.no_grad():
        for _ in range(count):
            probability, token = model(torch.tensor([ids]))[0, -1].softmax(-1).max(-1)
            steps.append((int(token), float(probability)))
            ids.append(int(token))
    return steps


def test_tokens_and_probabilities(engine: TorchEngine, tiny_model: Decoder) -> None:
    steps = list(greedy(engine, PROMPT, 20, NEVER))
    expected = argmax_loop(tiny_model, PROMPT, 20)
    assert [step.token for step in steps] == [token for token, _ in expected]
    assert [step.probability for step in steps] == pytest.approx([p for _, p in expected], abs=1e-5)


def test_tokens_are_those_of_generate(either_engine: Engine, theirs: Any) -> None:
    for prompt in prompts(6):
        written = theirs.generate(torch.tensor([prompt]), max_new_tokens=30, do_sample=False)[0, len(prompt) :]
        assert [step.token for step in greedy(either_engine, prompt, 30, NEVER)] == written.tolist()


def test_a_stop_token_ends_the_answer_and_is_not_in_it(engine: TorchEngine, tiny_model: Decoder) -> None:
    tokens = [token for token, _ in argmax_loop(tiny_model, PROMPT, 20)]
    stop = next(token for token in tokens if tokens.index(token) >= 3)
    assert [step.token for step in greedy(engine, PROMPT, 20, frozenset([stop]))] == tokens[: tokens.index(stop)]


def test_huge_logits_keep_probabilities_finite() -> None:
    class Steepest(Session):
        def _run(self, *_: object) -> NDArray[np.float32]:
            return np.array([[[-3e38, 3e38, 3e38]]], dtype=np.float32)

    class Steep:
        window, vocab_size = 10, 3

        @contextmanager
        def session(self, capacity: int) -> Iterator[Session]:
            yield Steepest()

    with np.errstate(over="ignore"):
        (step,) = greedy(Steep(), [0], 1, NEVER)
    assert (step.token, step.probability) == (1, 0.5)


def test_the_window(engine: TorchEngine) -> None:
    assert len(list(greedy(engine, [7] * 90, 6, NEVER))) == 6
    with pytest.raises(PromptTooLong, match=r"prompt of 91 tokens plus 6 new ones exceeds the window of 96: .* to 90"):
        greedy(engine, [7] * 91, 6, NEVER)  # on the call itself, before anybody asks for a token


@pytest.mark.parametrize(
    ("prompt", "count", "message"),
    [
        ([], 5, "0 tokens"),
        ([1, 400], 5, "id 400 is not in 0..399"),
        ([-1], 5, "id -1"),
        ([1], 0, "max_new_tokens is 0"),
    ],
)
def test_prompts_with_no_continuation(engine: TorchEngine, prompt: list[int], count: int, message: str) -> None:
    with pytest.raises(PromptInvalid, match=message):
        greedy(engine, prompt, count, NEVER)


def test_sessions_of_several_threads_do_not_meet(engine: TorchEngine) -> None:
    prompts = [[3 + i, 50 + i, 200 - i] for i in range(6)]
    alone = [[step.token for step in greedy(engine, prompt, 12, NEVER)] for prompt in prompts]
    together: dict[int, list[int]] = {}

    def work(i: int) -> None:
        together[i] = [step.token for step in greedy(engine, prompts[i], 12, NEVER)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[i] for i in range(6)] == alone


def test_a_step_may_come_from_another_thread_than_the_last(engine: TorchEngine) -> None:
    # A server iterates a stream from whatever worker is free.
    expected = [step.token for step in greedy(engine, PROMPT, 6, NEVER)]
    steps, tokens = greedy(engine, PROMPT, 6, NEVER), []
    for _ in range(6):
        thread = threading.Thread(target=lambda: tokens.append(next(steps).token))
        thread.start()
        thread.join()
    assert tokens == expected


def test_engine_is_chosen_by_folder_and_device(tiny_folder: Path, tmp_path: Path) -> None:
    assert isinstance(load_engine(tiny_folder), TorchEngine)
    with pytest.raises(DeviceMissing, match="'tpu'"):
        load_engine(tiny_folder, "tpu")
    with pytest.raises(CheckpointMissing, match=r"config\.json"):
        load_engine(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none(tiny_folder: Path) -> None:
    with pytest.raises(DeviceMissing, match="device 'cuda' is not usable here"):
        load_engine(tiny_folder, "cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda(tiny_folder: Path, tiny_model: Decoder) -> None:
    steps = list(greedy(TorchEngine(tiny_folder, "cuda", "float32"), PROMPT, 20, NEVER))
    assert [step.token for step in steps] == [token for token, _ in argmax_loop(tiny_model, PROMPT, 20)]


def test_bf16(tiny_folder: Path, tiny_model: Decoder) -> None:
    with TorchEngine(tiny_folder, dtype="bfloat16").session(5) as session:
        logits = torch.from_numpy(session.feed(PROMPT))
    expected = tiny_model(torch.tensor([PROMPT]))[0, -1].detach()
    assert torch.cosine_similarity(logits, expected, dim=0) > 0.99


class Counting:
    """An engine that knows how many of its sessions are open."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.window, self.vocab_size = engine, engine.window, engine.vocab_size
        self.open = 0

    @contextmanager
    def session(self, capacity: int) -> Iterator[Session]:
        self.open += 1
        try:
            with self.engine.session(capacity) as session:
                yield session
        finally:
            self.open -= 1


@pytest.mark.parametrize("way", ["greedy", "lookup", "sample", "batch"])
def test_an_answer_left_early_frees_its_session(engine: TorchEngine, way: str) -> None:
    counting = Counting(engine)
    ways: dict[str, Callable[[], Any]] = {
        "greedy": lambda: greedy(counting, PROMPT, 20, NEVER),
        "lookup": lambda: greedy_lookup(counting, PROMPT, 20, NEVER),
        "sample": lambda: sample(counting, PROMPT, 20, NEVER, Sampling()),
        "batch": lambda: greedy_batch(counting, [PROMPT, PROMPT], 20, NEVER),
    }
    steps = ways[way]()
    assert counting.open == 0
    next(steps)
    assert counting.open == 1
    steps.close()
    assert counting.open == 0


def test_no_way_of_decoding_imports_torch() -> None:
    code = (
        "import sys\n"
        "import lm.batch, lm.beam, lm.decode, lm.lookup, lm.openvino_engine, lm.sample, lm.stop\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
