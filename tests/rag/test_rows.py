"""Rows through a real, tiny graph: each gets its own outputs, whoever is beside it, and none is computed twice."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from lm.ov import ops, ov
from rag.pair_tokens import Pair
from rag.rows import RowRunner
from rag.types import ModelBroken

POISON = 999  # a row that holds this id gives no number


class Counting:
    """A compiled graph that notes the shapes it was given."""

    def __init__(self) -> None:
        # (B, T, 2): ids and types; (B, 1): the sum of the ids, which is no number for a row with POISON in it
        names = ("input_ids", "attention_mask", "token_type_ids")
        ids, mask, types = (ops.parameter([-1, -1], np.int64, name=name) for name in names)
        for node, name in zip((ids, mask, types), names, strict=True):
            node.output(0).set_names({name})
        numbers = [ops.convert(node, "f32") for node in (ids, types)]
        each = ops.concat([ops.unsqueeze(number, np.int64(2)) for number in numbers], 2)
        safe = ops.divide(numbers[0], ops.convert(ops.not_equal(ids, np.int64(POISON)), "f32"))
        total = ops.reduce_sum(ops.multiply(safe, ops.convert(mask, "f32")), np.int64(1), True)
        exact = {"INFERENCE_PRECISION_HINT": "f32"}
        self._compiled = ov.Core().compile_model(ov.Model([each, total], [ids, mask, types], "tiny"), "CPU", exact)
        self.shapes: list[tuple[int, int]] = []
        self.hold = threading.Event()  # cleared: what was started does not end
        self.hold.set()

    def create_infer_request(self) -> Any:
        request, shapes, hold = self._compiled.create_infer_request(), self.shapes, self.hold

        class Noting:
            model_outputs = request.model_outputs

            def start_async(self, tensors: dict[str, Any]) -> None:
                shapes.append(tensors["input_ids"].shape)
                request.start_async(tensors)

            def wait(self) -> None:
                assert hold.wait(30)
                request.wait()

            def __getattr__(self, name: str) -> Any:
                return getattr(request, name)

        return Noting()

    @property
    def rows(self) -> int:
        return sum(count for count, _ in self.shapes)


def row(*ids: int, second_at: int = 1) -> Pair:
    return Pair(np.array(ids, dtype=np.int64), second_at, second_at)


ROWS = [row(*range(1, length + 1), second_at=length // 2) for length in (3, 17, 3, 33, 16, 60, 4)]


def check(pairs: list[Pair], outputs: list[tuple[Any, ...]]) -> None:
    for pair, (each, total) in zip(pairs, outputs, strict=True):
        np.testing.assert_array_equal(each[:, 0], pair.ids)
        np.testing.assert_array_equal(each[:, 1], np.arange(len(pair)) >= pair.second_at)
        assert total.tolist() == [pair.ids.sum()]


@pytest.mark.parametrize("streams", [1, 2])
def test_each_row_gets_its_own_outputs_and_is_padded_to_its_own_length_alone(streams: int) -> None:
    graph = Counting()
    check(ROWS, RowRunner(graph, streams).run(ROWS))
    assert sorted(graph.shapes) == [(1, 16), (1, 32), (1, 48), (1, 64), (2, 16)]


def test_no_row_is_computed_twice() -> None:
    graph = Counting()
    runner = RowRunner(graph, 2)
    check(ROWS, runner.run(ROWS))
    assert graph.rows == len(ROWS) - 1  # two of them are equal
    again = [*ROWS, row(1, 2, 3, second_at=2)]  # the same ids, and the second text elsewhere: another row
    check(again, runner.run(again))
    assert graph.rows == len(ROWS)


def test_batches_come_in_few_sizes() -> None:
    """The plugin keeps memory for each shape that it has run: a server grew with every new number of rows."""
    graph = Counting()
    for count in range(1, 41):
        rows = [row(count, number) for number in range(count)]
        check(rows, RowRunner(graph, 2).run(rows))
    assert {count for count, _ in graph.shapes} == {1, 2, 4, 8, 16}
    assert graph.rows == sum(range(1, 41))


def test_the_last_rows_are_shared_out() -> None:
    """Of 30 rows in fours one stream had 16 to run and the other 14; a single batch of two had one stream idle."""
    graph = Counting()
    RowRunner(graph, 2).run([row(*range(200), number) for number in range(30)])
    assert [count for count, _ in graph.shapes] == [4, 4, 4, 4, 4, 4, 2, 2, 1, 1]


def test_only_so_many_rows_are_remembered() -> None:
    graph = Counting()
    runner = RowRunner(graph, 1, kept=2)
    for number in (1, 2, 1, 3, 1, 2):  # 2 was used longest ago when 3 came
        runner.run([row(number)])
    assert graph.rows == 4


def test_nobody_can_change_what_the_next_one_gets() -> None:
    runner = RowRunner(Counting(), 1)
    ((each, _),) = runner.run([row(1, 2)])
    with pytest.raises(ValueError, match="read-only"):
        each[0] = 7


def test_what_is_no_number_is_told_and_the_next_rows_are_computed() -> None:
    runner = RowRunner(Counting(), 2)
    with pytest.raises(ModelBroken, match="models pull"):
        runner.run([row(POISON), *ROWS])
    check(ROWS, runner.run(ROWS))


def test_many_threads_get_what_is_theirs() -> None:
    runner = RowRunner(Counting(), 2, kept=8)

    def work(seed: int) -> None:
        draw = np.random.default_rng(seed)
        for _ in range(20):
            pairs = [row(*draw.integers(1, 50, draw.integers(1, 20)).tolist()) for _ in range(5)]
            check(pairs, runner.run(pairs))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_rows_of_several_threads_that_wait_share_batches() -> None:
    graph = Counting()
    runner = RowRunner(graph, 1)
    asked = [[row(one, one), row(one, one, one)] for one in range(1, 9)]
    graph.hold.clear()
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(runner.run, [row(99)])
        while not graph.shapes:
            time.sleep(0.002)
        rest = [pool.submit(runner.run, pairs) for pairs in asked]
        while sum(map(len, runner._waiting.values())) < 16:
            time.sleep(0.002)
        graph.hold.set()
        check([row(99)], first.result(30))
        for pairs, future in zip(asked, rest, strict=True):
            check(pairs, future.result(30))
    assert graph.shapes == [(1, 16), (16, 16)]


def test_a_batch_that_cannot_be_computed_is_told_to_all_who_wait_for_it_and_to_nobody_else() -> None:
    graph = Counting()
    runner = RowRunner(graph, 1)
    asked = [[row(POISON)], [row(1, 2)], [row(*range(20))]]  # the first two share a batch, the third is longer
    graph.hold.clear()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(runner.run, [row(99)])
        while not graph.shapes:
            time.sleep(0.002)
        rest = [pool.submit(runner.run, pairs) for pairs in asked]
        while sum(map(len, runner._waiting.values())) < 3:
            time.sleep(0.002)
        graph.hold.set()
        first.result(30)
        for future in rest[:2]:
            with pytest.raises(ModelBroken):
                future.result(30)
        check(asked[2], rest[2].result(30))
    check(asked[1], runner.run(asked[1]))


def test_no_rows_no_outputs() -> None:
    assert RowRunner(Counting(), 1).run([]) == []
