"""Suites and gates with the real models: two runs alike, and four planted regressions that the gate names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from eval.groups import groups
from eval.runs import Run, write_run
from eval.scratch import scratch_search
from eval.suite import Suite, SuiteSet
from eval.suite_jobs import Parts
from eval.suite_run import measure
from ingest.build import build_ingester
from rag.build import build_pipeline
from rag.generate import Generator, Piece
from rag.pipeline import Pipeline
from rag.prompt import ParsedAnswer, Prompt
from rag.retrieve import Found, Retriever
from rag.settings import load_settings
from rag.types import Claim, Filter, Passage, Verdict
from rag.verify import Judgement, Verifier

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "eval" / "golden" / "examples.jsonl"
PLANTED = ROOT / "eval" / "golden" / "planted.jsonl"
QUESTIONS, CLAIMS = 24, 120

pytestmark = [pytest.mark.long, pytest.mark.models, pytest.mark.timeout(3600)]


class ForgetfulGenerator:
    """A worse prompt: the question is lost from it, so that the model writes about the passages at large."""

    def __init__(self, inner: Generator):
        self.inner, self.name, self.fingerprint = inner, inner.name, inner.fingerprint

    def stream(self, prompt: Prompt, max_new_tokens: int, refuse_at: float) -> Iterator[Piece]:
        *rest, last = prompt.messages
        blind = replace(last, text=last.text.rsplit("Question:", 1)[0] + "Question: What is said here?")
        return self.inner.stream(replace(prompt, messages=(*rest, blind)), max_new_tokens, 2.0)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self.inner.count_tokens(texts)

    def prompt_tokens(self, prompt: Prompt) -> int:
        return self.inner.prompt_tokens(prompt)


@dataclass(frozen=True)
class WrongRetriever(Retriever):
    """Wrong passages: those far down the list, never the best."""

    def find(self, query: str, collection: object, k: int, where: Filter | None = None) -> Found:
        found = Retriever.find(self, query, collection, k + 20, where)  # type: ignore[arg-type]
        return replace(found, hits=found.hits[20 : 20 + k])

    def search(self, query: str, collection: object, k: int, *_: object, **__: object) -> tuple[object, ...]:  # type: ignore[override]
        return self.find(query, collection, k).hits


@dataclass(frozen=True)
class NoVerifier:
    """The verifier off: all it sees is supported, and nothing is more so than the rest."""

    inner: Verifier

    @property
    def name(self) -> str:
        return "off"

    @property
    def fingerprint(self) -> str:
        return "0"

    def verify(self, claims: Sequence[str], passages: Sequence[Passage], question: str) -> list[Judgement]:
        judged = self.inner.verify(claims, passages, question)
        return [replace(each, support=1.0, verdict=Verdict.SUPPORTED) for each in judged]


@dataclass(frozen=True)
class ShufflingPipeline(Pipeline):
    """Shuffled citations: each claim's citations name the next passage instead of their own."""

    def check(self, question: str, parsed: ParsedAnswer, passages: Sequence[Passage]) -> tuple[Claim, ...]:
        claims = Pipeline.check(self, question, parsed, passages)
        uris = list(dict.fromkeys(passage.uri for passage in passages))
        return tuple(
            replace(
                claim,
                citations=tuple(
                    replace(cited, uri=uris[(uris.index(cited.uri) + 1) % len(uris)]) for cited in claim.citations
                ),
            )
            for claim in claims
        )


Change = Callable[[Pipeline], Pipeline]


def forgetful(pipeline: Pipeline) -> Pipeline:
    return replace(pipeline, generator=ForgetfulGenerator(pipeline.generator), reader=None)


def wrong_passages(pipeline: Pipeline) -> Pipeline:
    one = pipeline.retriever
    return replace(pipeline, retriever=WrongRetriever(one.encoder, one.index, one.store, one.reranker))


def verifier_off(pipeline: Pipeline) -> Pipeline:
    return replace(pipeline, verifier=NoVerifier(pipeline.verifier))


def shuffled(pipeline: Pipeline) -> Pipeline:
    parts = (pipeline.retriever, pipeline.generator, pipeline.verifier, pipeline.policy, pipeline.limits)
    return ShufflingPipeline(*parts, reader=pipeline.reader)


@pytest.fixture(scope="module")
def bench(models_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Change], Run]]:
    """Measures the same golden questions, openly, and the same claims, with a pipeline that was changed."""
    settings = load_settings(home=models_home)
    questions = SuiteSet("golden", "qa", GOLDEN, mode="open", size=QUESTIONS)
    suite = Suite("planted", 7, (questions, SuiteSet("claims", "claims", PLANTED, size=CLAIMS)))
    folder = tmp_path_factory.mktemp("runs")
    with scratch_search(settings) as search:
        pipeline, ingester = build_pipeline(settings, search), build_ingester(settings, search)

        def run(change: Change) -> Run:
            parts = Parts(change(pipeline), ingester, settings.top_k, 7)
            # What was planted is named in the settings: a run goes by all it depends on.
            return measure(parts, suite, {"planted": change.__name__}, folder, lambda _done, _total: None)

        yield run


def same(pipeline: Pipeline) -> Pipeline:
    return pipeline


@pytest.fixture(scope="module")
def before(bench: Callable[[Change], Run]) -> Run:
    return bench(same)


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANSWERABLE_HOME": str(folder)}
    return subprocess.run(
        [sys.executable, str(ROOT / "answerable.py"), *arguments],
        env=environment, capture_output=True, text=True, timeout=1200,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "metric", "leeway"),
    [
        (forgetful, "golden.f1", 0.15),
        (wrong_passages, "golden.recall@5", 0.15),
        # Answers are rated by more than the check (rag/answer_support.py), so it is missed where it stands alone.
        (verifier_off, "claims.auroc", 0.15),
        (shuffled, "golden.citation_precision", 0.15),
    ],
)
def test_a_planted_regression_is_named_by_the_gate(
    bench: Callable[[Change], Run], before: Run, tmp_path: Path, change: Change, metric: str, leeway: float
) -> None:
    measured = {
        group.title(measure): (measure.value(group.items), measure.better)
        for group in groups(before)
        for measure in group.measures
    }
    value, better = measured[metric]
    assert value is not None
    limit = f"{metric}={value + leeway if better == 'lower' else value - leeway:.4f}"
    first, second = (str(write_run(run, tmp_path)) for run in (before, bench(change)))
    assert command(tmp_path, "eval", "compare", first, first, "--fail-under", limit).returncode == 0
    done = command(tmp_path, "eval", "compare", first, second, "--fail-under", limit, "--json")
    assert done.returncode == 1, done.stderr
    assert f"failed: {metric} is" in done.stderr
    assert [failure["metric"] for failure in json.loads(done.stdout)["failed"]] == [metric]


def test_two_runs_of_a_suite_are_the_same_file_but_for_times(models_home: Path, tmp_path: Path) -> None:
    suite = tmp_path / "small.json"
    golden = str(GOLDEN)
    sets = [
        {"name": "golden", "kind": "qa", "path": golden, "mode": "open", "size": 5},
        {"name": "robust", "kind": "robustness", "path": golden, "size": 2},
    ]
    suite.write_text(json.dumps({"name": "small", "seed": 7, "sets": sets}), "utf-8")
    found = []
    for home in ("one", "two"):
        (tmp_path / home).mkdir()
        (tmp_path / home / "models").symlink_to(models_home / "models")
        done = command(tmp_path / home, "eval", "run", str(suite), "--json")
        assert done.returncode == 0, done.stderr
        found.append(Path(json.loads(done.stdout)["run"]))
    assert found[0].name == found[1].name
    one, two = (json.loads(path.read_text("utf-8")) for path in found)
    assert one.pop("timings") and two.pop("timings")
    assert one == two
