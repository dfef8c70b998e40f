"""With the real models, PostgreSQL and Milvus give the golden questions the answers that SQLite and FAISS give."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingest.build import build_ingester
from rag.build import Search, build_pipeline, build_search
from rag.datafiles import QaRow, read_qa
from rag.index import IndexOptions, open_index
from rag.retrieve import Retriever
from rag.settings import Settings
from rag.store import Store
from rag.types import Answer, Question
from tests.servers import PostgresServer, milvus_server

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS = int(os.environ.get("ANSWERABLE_TEST_QUESTIONS", "12"))


@pytest.mark.models
@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_golden_questions_get_the_same_answers(models_home: Path, tmp_path: Path, postgres: PostgresServer) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "models").symlink_to(models_home / "models")
    settings = Settings(home=home)
    here = build_search(settings)
    with milvus_server(tmp_path / "milvus") as milvus:
        store = Store.open(postgres.create("golden"))
        index = open_index(milvus, store, IndexOptions("exact"))
        there = Search(store, here.encoder, index, Retriever(here.encoder, index, store, here.retriever.reranker))
        for search in (here, there):
            report = build_ingester(settings, search).ingest_paths([ROOT / "examples"], "default")
            assert report.failed == () and report.added == 18
        ours = build_pipeline(settings, here)
        theirs = replace(ours, retriever=there.retriever)
        rows = read_qa(ROOT / "eval" / "golden" / "examples.jsonl")
        differing: list[Any] = []
        for row in rows[:: max(1, len(rows) // QUESTIONS)]:
            one, other = (said(pipeline.answer(asked(row))) for pipeline in (ours, theirs))
            differing += [(row.id, one, other)] if one != other else []
        assert differing == []
        store.close()


def asked(row: QaRow) -> Question:
    return Question(row.question, history=row.history)


def said(answer: Answer) -> Any:
    """What a reader sees of an answer, with the numbers that it was chosen by."""
    claims = [
        (claim.text, round(claim.support, 6), claim.verdict, [(one.uri, one.start, one.end) for one in claim.citations])
        for claim in answer.claims
    ]
    passages = [(hit.passage.uri, hit.passage.start, round(hit.score, 4)) for hit in answer.passages]
    return answer.answer, answer.abstained, answer.reason, claims, passages
