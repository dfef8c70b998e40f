"""langchain's own standard tests on our classes, and classes of langchain's in place of ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import HumanMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore

from rag.build import Search
from rag.chain import AnswerableRetriever, answer_runnable
from rag.chain_models import AnswerableVectorStore, ChatAnswerable, as_generator
from tests.fakes import EchoGenerator, HashEncoder, Shelf

tests = pytest.importorskip("langchain_tests.integration_tests")
unit = pytest.importorskip("langchain_tests.unit_tests")


def search_in(home: Path) -> Search:
    home.mkdir(exist_ok=True)
    shelf = Shelf.open(home, HashEncoder())
    return Search(shelf.store, shelf.retriever.encoder, shelf.retriever.index, shelf.retriever)


class TestVectorStore(tests.VectorStoreIntegrationTests):  # type: ignore[misc, name-defined]
    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[VectorStore]:
        search = search_in(tmp_path / "store")
        yield AnswerableVectorStore(search)
        search.store.close()


class TestRetriever(tests.RetrieversIntegrationTests):  # type: ignore[misc, name-defined]
    @pytest.fixture(autouse=True)
    def _shelf(self, tmp_path: Path) -> None:
        self.shelf = Shelf.open(tmp_path)
        self.shelf.put({f"/{n}.md": f"Leave is {n} days." for n in range(5)})

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return AnswerableRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"retriever": self.shelf.retriever}

    @property
    def retriever_query_example(self) -> str:
        return "leave days"


class TestChatModel(tests.ChatModelIntegrationTests):  # type: ignore[misc, name-defined]
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatAnswerable

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"generator": EchoGenerator()}


class TestChatModelUnit(unit.ChatModelUnitTests):  # type: ignore[misc, name-defined]
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatAnswerable

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"generator": EchoGenerator()}


QUESTION = "How many days of annual leave has every employee?"
TEXT = "Every employee has 27 days of annual leave. Unused leave expires on 31 March."


def test_a_vector_store_of_langchains_is_searched_in_place_of_ours(tmp_path: Path) -> None:
    theirs = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    theirs.add_documents([Document(id="d1", page_content=TEXT, metadata={"source": "leave.md"})])
    answer = answer_runnable(Shelf.open(tmp_path).pipeline(), theirs).invoke(QUESTION)
    assert answer["answer"] == "Every employee has 27 days of annual leave."
    citation = answer["claims"][0]["citations"][0]
    assert citation["uri"] == "leave.md"
    assert TEXT[citation["start"] : citation["end"]] == citation["quote"]


def test_a_chat_model_of_langchains_writes_in_place_of_ours_and_is_checked(tmp_path: Path) -> None:
    shelf = Shelf.open(tmp_path)
    shelf.put({"/leave.md": TEXT})
    model = FakeListChatModel(responses=["Every employee has 27 days of annual leave [1]. Zebras run."])
    answer = answer_runnable(replace(shelf.pipeline(), generator=as_generator(model))).invoke(QUESTION)
    assert [claim["verdict"] for claim in answer["claims"]] == ["supported", "unsupported"]


def test_what_was_added_through_the_store_is_answered_and_cited(tmp_path: Path) -> None:
    search = search_in(tmp_path / "store")
    AnswerableVectorStore(search).add_texts([TEXT], [{"source": "leave.md", "tags": ["hr"]}], ids=["leave"])
    answer = answer_runnable(Shelf.open(tmp_path / "store").pipeline()).invoke(QUESTION)
    citation = answer["claims"][0]["citations"][0]
    assert (citation["uri"], citation["title"]) == ("langchain:leave", "leave.md")
    (found,) = AnswerableVectorStore(search).get_by_ids(["leave"])
    assert found == Document(id="leave", page_content=TEXT, metadata={"source": "leave.md", "tags": ["hr"]})


def test_a_stop_word_ends_the_text_wherever_it_begins() -> None:
    class Fixed(EchoGenerator):
        def answer(self, prompt: Any) -> str:
            return "one two three STOP four"

    chat = ChatAnswerable(generator=Fixed())
    assert chat.invoke([HumanMessage("?")], stop=["STOP"]).content == "one two three "
    assert "".join(str(chunk.content) for chunk in chat.stream([HumanMessage("?")], stop=["e S"])) == "one two thre"
