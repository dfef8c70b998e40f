"""Generation elsewhere for real: our weights, exported, served by llama.cpp's server of OpenAI's shape."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import xllamacpp

from benchmarks.generate import as_passage
from lm.engine import load_engine
from lm.export_gguf import export_gguf
from lm.lookup import greedy_lookup
from lm.tokenizer import Tokenizer
from rag.build import build_pipeline, build_search
from rag.datafiles import read_qa
from rag.prompt import build_prompt
from rag.remote import RemoteGenerator
from rag.settings import Settings
from rag.store import Source
from rag.types import Chunk, ParsedDocument, Question

GOLDEN = Path(__file__).resolve().parents[2] / "eval" / "golden" / "examples.jsonl"
TEXT = "Full-time employees have 26 days of paid annual leave in 2026. Part-time employees have 14 days."

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(1200)]


@contextmanager
def llama_server(path: Path) -> Iterator[str]:
    """llama.cpp's server over the file; gives its address."""
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.verbosity = 2048, 1, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1  # as OMP_NUM_THREADS, see conftest.py
    server = xllamacpp.Server(params)
    yield str(server.listening_address)
    del server  # stops it


@pytest.fixture(scope="module")
def served(models_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    source = models_home / "models" / "answerable-135m"
    with llama_server(export_gguf(source, tmp_path_factory.mktemp("gguf"), "q8_0")) as url:
        assert httpx.get(f"{url}/v1/models").status_code == 200
        yield url


def settings_of(models_home: Path, home: Path, url: str) -> Settings:
    (home / "models").symlink_to(models_home / "models")
    return Settings(home=home, generator=f"openai+{url}/v1")


def test_its_answers_are_those_of_our_own_engine(models_home: Path, tmp_path: Path, served: str) -> None:
    """Most of them: eight bits a weight are rounded differently here and there, which now and then turns a word."""
    folder = models_home / "models" / "answerable-135m"
    tokenizer, engine = Tokenizer.load(folder), load_engine(folder)
    settings = settings_of(models_home, tmp_path, served)
    search = build_search(settings)
    remote = build_pipeline(settings, search).generator
    search.store.close()
    assert isinstance(remote, RemoteGenerator)
    rows = read_qa(GOLDEN)
    same, asked = 0, rows[:: len(rows) // 20][:20]
    for row in asked:
        passages = [as_passage(source) for source in row.passages]
        prompt = build_prompt(Question(row.question), passages, 600, remote.count_tokens)
        pieces = list(remote.stream(prompt, 32, 1.1))
        ours = [step.token for step in greedy_lookup(engine, tokenizer.chat(prompt.messages), 32, tokenizer.stop_ids)]
        same += "".join(piece.text for piece in pieces).strip() == tokenizer.decode(ours).strip()
        assert max(piece.prompt_tokens for piece in pieces) == len(tokenizer.chat(prompt.messages))
    assert same >= 16, f"{same} of {len(asked)} answers are the same"
    assert remote.state().attempts == {"answered": len(asked)}


def test_an_answer_from_there_is_checked_and_cited_here(models_home: Path, tmp_path: Path, served: str) -> None:
    settings = settings_of(models_home, tmp_path, served)
    search = build_search(settings)
    encoder = search.encoder
    target = search.store.collections.ensure("default", encoder.fingerprint, encoder.dimension)
    parts = [Chunk(0, len(TEXT), TEXT, "Leave")]
    document = ParsedDocument("Leave", TEXT, "test-1")
    search.store.documents.put(target, Source("/leave.md", "0" * 64), document, parts, encoder.encode([TEXT]))
    pipeline = build_pipeline(settings, search)
    answer = pipeline.answer(Question("How many days of paid annual leave do full-time employees have in 2026?"))
    assert "26" in answer.answer and not answer.abstained
    assert answer.models.generator.startswith(pipeline.generator.name)
    assert any("26 days" in citation.quote for claim in answer.claims for citation in claim.citations)
    assert pipeline.answer(Question("What is the boiling point of mercury in kelvin?")).abstained
