"""Suites over stand-ins for the models; tests/eval/test_eval_real.py has the same with the real ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from eval.groups import groups
from eval.runs import Run, read_run, write_run
from eval.suite import Suite, SuiteSet
from eval.suite_jobs import Parts
from eval.suite_run import measure
from ingest.chunk import ChunkOptions
from ingest.run import Ingester
from rag.types import InvalidInput, Passage
from rag.verify import Judgement
from tests.fakes import EchoGenerator, HashEncoder, LexicalVerifier, Shelf

SUITES = Path(__file__).resolve().parents[2] / "eval" / "suites"
ROWS = [
    ("What colour is the gate of the park?", "The gate of the park is green. It opens at six.", ["green"], True),
    (
        "How tall is the tower of the castle?",
        "The tower of the castle is 40 metres tall. It is old.",
        ["40 metres"],
        True,
    ),
    ("Who wrote the song about the harbour?", "The song about the harbour was written by Ada.", ["Ada"], True),
    ("What does the museum cost for children?", "The museum is closed on Mondays in winter.", [], False),
]


class BrokenVerifier(LexicalVerifier):
    """Gives NaN from the third call on."""

    def __init__(self) -> None:
        self.calls = 0

    def verify(self, claims: Sequence[str], passages: Sequence[Passage], question: str) -> list[Judgement]:
        self.calls += 1
        judged = super().verify(claims, passages, question)
        return [replace(each, support=float("nan")) for each in judged] if self.calls > 2 else judged


def write_rows(folder: Path) -> Path:
    lines = [
        {"id": f"q{number}", "dataset": "small", "question": question, "kind": "fact", "answerable": answerable,
         "passages": [{"title": f"Page {number}", "text": text}], "answers": golds}
        for number, (question, text, golds, answerable) in enumerate(ROWS)
    ]  # fmt: skip
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def parts(home: Path, generator: EchoGenerator | None = None) -> Parts:
    home.mkdir(exist_ok=True)
    shelf = Shelf.open(home)
    ingester = Ingester(HashEncoder(), shelf.store, shelf.retriever.index, ChunkOptions(target=32), 1_000_000)
    return Parts(shelf.pipeline(generator), ingester, 3, 7)


def suite_of(file: Path, *kinds: str) -> Suite:
    sets = {
        "qa": SuiteSet("open", "qa", file, mode="open"),
        "robustness": SuiteSet("robust", "robustness", file, size=2),
        "counterfactual": SuiteSet("swapped", "counterfactual", SUITES / "counterfactual.toml"),
    }
    return Suite("small", 7, tuple(sets[kind] for kind in kinds))


def run(tmp_path: Path, made: Parts, *kinds: str) -> Run:
    suite = suite_of(write_rows(tmp_path), *kinds)
    return measure(made, suite, {"top_k": 3}, tmp_path / "runs", lambda _done, _total: None)


def test_two_runs_are_the_same_but_for_times(tmp_path: Path) -> None:
    kinds = ("qa", "robustness", "counterfactual")
    first, second = (run(tmp_path, parts(tmp_path / home), *kinds) for home in ("a", "b"))
    assert first.name == second.name
    assert (first.rows, first.metrics) == (second.rows, second.metrics)
    assert read_run(write_run(first, tmp_path)) == first
    assert list((tmp_path / "runs").iterdir()) == []


def test_the_figures_of_a_set_its_groups_kinds_and_intervals(tmp_path: Path) -> None:
    found = run(tmp_path, parts(tmp_path / "a"), "qa", "robustness", "counterfactual")
    own = found.metrics["open"]
    assert own["n"] == 4
    assert own["by_kind"]["fact"]["n"] == 4
    low, high = own["intervals"]["answer_rate"]
    assert low <= own["answer_rate"] <= high
    assert own["mrr@10"] is not None
    assert set(found.metrics["robust"]) == {"plain", "paraphrase", "typing", "distractors", "reorder", "injection"}
    assert found.metrics["swapped"]["worst_pairs"]
    assert len(found.metrics["swapped"]["by_group"]) > 20
    assert found.timings["metrics"]["peak_memory_mb"] > 0
    names = [group.name for group in groups(found)]
    assert names[:3] == ["open", "robust.plain", "robust.paraphrase"]


def test_a_run_that_was_stopped_goes_on_and_ends_as_if_it_had_not(tmp_path: Path) -> None:
    whole = run(tmp_path, parts(tmp_path / "a"), "qa", "robustness")
    seen: list[int] = []

    def stop(done: int, _total: int | None) -> None:
        seen.append(done)
        if done == 5:
            raise KeyboardInterrupt

    suite = suite_of(write_rows(tmp_path), "qa", "robustness")
    with pytest.raises(KeyboardInterrupt):
        measure(parts(tmp_path / "b"), suite, {"top_k": 3}, tmp_path / "runs", stop)
    (journal,) = (tmp_path / "runs").glob("*.part.jsonl")
    assert len(journal.read_text("utf-8").splitlines()) == 5
    with journal.open("a") as stream:
        stream.write('["robust", "half a li')  # killed while it wrote
    asked: list[str] = []

    class Counting(EchoGenerator):
        def answer(self, prompt: object) -> str:
            asked.append("")
            return super().answer(prompt)  # type: ignore[arg-type]

    resumed = run(tmp_path, parts(tmp_path / "c", Counting()), "qa", "robustness")
    assert resumed.name == whole.name
    assert resumed.rows == whole.rows
    assert 0 < len(asked) <= len(whole.rows) - 5
    assert list((tmp_path / "runs").iterdir()) == []


def test_nan_in_a_score_is_told_and_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    made = parts(tmp_path / "a")
    broken = replace(made, pipeline=replace(made.pipeline, verifier=BrokenVerifier()))
    with pytest.raises(InvalidInput, match=r'set "open", row "q2": support is nan'):
        run(tmp_path, broken, "qa")
    (journal,) = (tmp_path / "runs").glob("*.part.jsonl")
    assert [json.loads(line)[1] for line in journal.read_text("utf-8").splitlines()] == ["q0", "q1"]


def test_a_journal_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    suite = suite_of(write_rows(tmp_path), "qa")

    def stop(_done: int, _total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(parts(tmp_path / "a"), suite, {"top_k": 3}, tmp_path / "runs", stop)
    (journal,) = (tmp_path / "runs").glob("*.part.jsonl")
    journal.write_text("nonsense\n", "utf-8")
    with pytest.raises(InvalidInput, match="line 1: no finished row"):
        run(tmp_path, parts(tmp_path / "b"), "qa")


def test_a_set_without_a_question_to_ask_is_refused_before_any_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"
    path.write_text(
        '{"id": "a", "dataset": "d", "question": "q?", "passages": [], "answers": [], "answerable": false}\n'
    )
    suite = Suite("none", 7, (SuiteSet("robust", "robustness", path),))
    with pytest.raises(InvalidInput, match='set "robust" has no questions'):
        measure(parts(tmp_path / "a"), suite, {}, tmp_path / "runs", lambda _done, _total: None)
    path.write_text("", "utf-8")
    with pytest.raises(InvalidInput, match="no rows in the file"):
        measure(parts(tmp_path / "a"), suite, {}, tmp_path / "runs", lambda _done, _total: None)
