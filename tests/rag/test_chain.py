from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from rag.chain import AnswerableRetriever, answer_runnable
from rag.types import InvalidInput, NotFound, Question
from rag.wire import answer_json, hit_json
from tests.fakes import HookedGenerator, Shelf

QUESTION = "How many days of annual leave has every employee?"
LEAVE = {
    "/docs/leave.md": "Every employee has 27 days of annual leave. Unused leave expires on 31 March.",
    "/docs/oil.md": "Crude oil is measured in barrels. A barrel holds 159 litres.",
}
FLEETING = {"id", "timings_ms"}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    made = Shelf.open(tmp_path)
    made.put(LEAVE)
    return made


def lasting(answer: dict[str, Any]) -> dict[str, Any]:
    """The parts of an answer that are the same each time it is given."""
    return {key: value for key, value in answer.items() if key not in FLEETING}


def titles(documents: list[Document]) -> list[str]:
    return [document.metadata["title"] for document in documents]


def test_documents_are_our_hits_with_the_characters_they_stand_at(shelf: Shelf) -> None:
    found = AnswerableRetriever(retriever=shelf.retriever, k=3).invoke(QUESTION)
    ours = shelf.retriever.search(QUESTION, shelf.store.collections.get("default"), 3)
    assert [{**document.metadata, "quote": document.page_content} for document in found] == [
        hit_json(hit) for hit in ours
    ]
    assert [document.id for document in found] == [str(hit.passage.chunk_id) for hit in ours]
    assert set(found[0].metadata) == {"document_id", "title", "uri", "page", "start", "end", "score"}
    for document in found:
        text = shelf.store.documents.get(document.metadata["document_id"]).text
        assert text[document.metadata["start"] : document.metadata["end"]] == document.page_content


def test_the_retriever_keeps_to_its_collection_and_composes(shelf: Shelf) -> None:
    shelf.put({"/hr/pay.md": "Pay day is the 25th."}, "hr")
    chain = AnswerableRetriever(retriever=shelf.retriever, collection="hr") | RunnableLambda(titles)
    assert chain.invoke("annual leave") == ["pay"]
    assert chain.batch(["a", "b"]) == [["pay"], ["pay"]]
    with pytest.raises(NotFound, match="'legal' does not exist"):
        AnswerableRetriever(retriever=shelf.retriever, collection="legal").invoke("a")


def test_a_retriever_over_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="retriever is 'no'; give the one of"):
        AnswerableRetriever(retriever="no")


@pytest.mark.parametrize("asked", [QUESTION, {"question": QUESTION}, {"question": QUESTION, "history": []}])
def test_a_question_becomes_the_pipelines_answer(shelf: Shelf, asked: str | dict[str, Any]) -> None:
    pipeline = shelf.pipeline()
    expected = answer_json(pipeline.answer(Question(QUESTION)))
    assert lasting(answer_runnable(pipeline).invoke(asked)) == lasting(expected)
    assert expected["claims"][0]["citations"]


def test_every_field_of_a_question_counts(shelf: Shelf) -> None:
    shelf.put({"/hr/oil.md": "A barrel of oil is 159 litres. Two barrels are 318. Three are 477."}, "hr")
    history = [{"role": "user", "text": "barrel oil litres"}, {"role": "assistant", "text": "159"}]
    asked = {"question": "a barrel?", "collection": "hr", "history": history, "top_k": 2}
    answer = answer_runnable(shelf.pipeline()).invoke(asked)
    assert [passage["uri"] for passage in answer["passages"]] == ["/hr/oil.md"] * 2
    assert answer["passages"][0]["quote"] == "A barrel of oil is 159 litres."


def test_a_stream_ends_with_what_invoke_gives(shelf: Shelf) -> None:
    runnable = answer_runnable(shelf.pipeline())
    chunks = list(runnable.stream(QUESTION))
    kinds = [next(iter(chunk)) for chunk in chunks]
    assert kinds == ["passages", *["token"] * kinds.count("token"), "claim", "id"]
    assert lasting(chunks[-1]) == lasting(runnable.invoke(QUESTION))
    text = runnable | RunnableLambda(lambda answer: answer["answer"])
    assert list(text.stream(QUESTION)) == [text.invoke(QUESTION)] == ["Every employee has 27 days of annual leave."]


def test_closing_a_stream_stops_the_generation(shelf: Shelf) -> None:
    pieces: list[int] = []
    generator = HookedGenerator(pieces.append)
    stream = answer_runnable(shelf.pipeline(generator)).stream(QUESTION)
    while "token" not in next(stream):
        pass
    stream.close()  # type: ignore[attr-defined]
    assert (pieces, generator.closed) == ([0], 1)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (7, "the input is a int"),
        ({}, "question is None"),
        ({"question": 7}, "question is 7"),
        ({"question": ""}, "the question is empty"),
        ({"question": "a", "k": 3}, "unknown key 'k'"),
        ({"question": "a", "top_k": "3"}, "top_k is '3'"),
        ({"question": "a", "top_k": 0}, "top_k is 0"),
        ({"question": "a", "collection": None}, "collection is None"),
        ({"question": "a", "history": "hello"}, "history holds 'h'"),
        ({"question": "a", "history": [{"role": "system", "text": "b"}]}, "each turn is"),
        ({"question": "a", "history": [{"role": "user"}]}, "text is None"),
    ],
    ids=repr,
)
def test_another_input_is_told_what_to_give(shelf: Shelf, asked: Any, message: str) -> None:
    runnable = answer_runnable(shelf.pipeline())
    with pytest.raises(InvalidInput, match=message):
        runnable.invoke(asked)
    with pytest.raises(InvalidInput, match=message):
        list(runnable.stream(asked))


def test_answering_does_not_load_langchain() -> None:
    """It takes a second to import; only who composes with it should wait for it."""
    root = Path(__file__).resolve().parents[2]
    code = "import sys, rag.build, api.app; sys.exit('langchain_core' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
