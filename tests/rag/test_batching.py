"""The batcher over a real, tiny decoder: the same words as alone, for whoever asks beside whom."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from lm.decode import Gate, Step, greedy
from lm.engine import Engine
from lm.errors import PromptTooLong
from rag.batching import Batcher
from tests.rag.tiny_engine import CountingEngine

STOP = frozenset({0})
NO_GATE = Gate(1, 2.0)
PROMPTS = [[3, 4, 5], [7, 2], [9, 9, 9, 9, 1], [10], [5, 6, 7, 8], [2, 3]]


@pytest.fixture
def engine() -> CountingEngine:
    return CountingEngine(vocab_size=12, window=64)


def make(engine: Engine, size: int = 4) -> Batcher:
    def alone(prompt: Sequence[int], max_new_tokens: int, gate: Gate) -> Iterator[Step]:
        return greedy(engine, prompt, max_new_tokens, STOP, gate)

    return Batcher(engine, STOP, alone, size)


def words(batcher: Batcher, prompt: list[int], length: int = 12) -> list[int]:
    return [step.token for step in batcher.steps(prompt, length, NO_GATE)]


def test_everyone_gets_what_they_would_get_alone(engine: CountingEngine) -> None:
    expected = [[step.token for step in greedy(engine, prompt, 12, STOP, NO_GATE)] for prompt in PROMPTS]
    batcher = make(engine)
    with ThreadPoolExecutor(len(PROMPTS)) as pool:
        for _ in range(5):
            assert list(pool.map(lambda prompt: words(batcher, prompt), PROMPTS)) == expected
    assert len({len(text) for text in expected}) > 1, "all answers have one length: leaving early is not tried"


def test_those_who_wait_are_written_side_by_side(engine: CountingEngine) -> None:
    batcher = make(engine)
    first = batcher.steps([3, 4, 5], 12, NO_GATE)
    hold = engine.hold()
    with ThreadPoolExecutor(5) as pool:
        leader = pool.submit(lambda: list(first))
        assert engine.entered.wait(10)
        waiting = [pool.submit(words, batcher, prompt) for prompt in PROMPTS[:4]]
        while batcher._inbox.qsize() < 4:
            threading.Event().wait(0.005)
        hold.set()
        leader.result(20)
        for future in waiting:
            future.result(20)
    assert engine.widest == 4


def test_each_has_its_own_longest_length(engine: CountingEngine) -> None:
    batcher = make(engine)
    with ThreadPoolExecutor(3) as pool:
        lengths = list(pool.map(lambda length: len(words(batcher, [9, 9, 9, 9, 1], length)), (1, 2, 3)))
    alone = [len(list(greedy(engine, [9, 9, 9, 9, 1], length, STOP, NO_GATE))) for length in (1, 2, 3)]
    assert lengths == alone


def test_one_who_leaves_holds_up_nobody(engine: CountingEngine) -> None:
    batcher = make(engine)
    for _ in range(20):
        leaving = batcher.steps([9, 9, 9, 9, 1], 50, NO_GATE)
        next(leaving)
        leaving.close()  # type: ignore[attr-defined]
    assert words(batcher, [7, 2]) == [step.token for step in greedy(engine, [7, 2], 12, STOP, NO_GATE)]


def test_what_goes_wrong_reaches_all_of_the_batch_and_the_next_one_is_written(engine: CountingEngine) -> None:
    batcher = make(engine)
    engine.broken = True
    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(words, batcher, prompt) for prompt in PROMPTS[:3]]:
            with pytest.raises(RuntimeError, match="broken"):
                future.result(20)
    engine.broken = False
    assert words(batcher, [7, 2])


def test_a_prompt_too_long_is_told_at_once(engine: CountingEngine) -> None:
    with pytest.raises(PromptTooLong):
        make(engine).steps([1] * 60, 12, NO_GATE)


def test_the_thread_ends_when_idle_and_comes_back(engine: CountingEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.batching._IDLE_S", 0.05)
    batcher = make(engine)
    for _ in range(3):
        assert words(batcher, [7, 2])
        for _ in range(200):
            if not batcher._running:
                break
            threading.Event().wait(0.02)
        assert not batcher._running
