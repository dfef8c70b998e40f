"""Our parts as langchain-core's: a retriever and the whole pipeline, to be composed with anything that speaks it.

    AnswerableRetriever(retriever=parts.retriever, k=5) | format_documents | some_chat_model
    answer_runnable(pipeline) | RunnableLambda(lambda answer: answer["answer"])

rag/chain_models.py has the vector store and the chat model, and takes those of others in place of ours. langchain_core
stays inside these two files; nothing else imports it, so a process that does not use it never loads it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from typing import Annotated, Any, cast

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.vectorstores import VectorStore
from pydantic import AfterValidator, Field

from rag.followup import standalone
from rag.pipeline import (
    MAX_TOP_K,
    Answered,
    ClaimChecked,
    Event,
    PassagesFound,
    Pipeline,
    StillWriting,
    TextWritten,
    check_question,
)
from rag.retrieve import Retriever
from rag.types import Hit, InvalidInput, Passage, Question, Turn
from rag.wire import answer_json, claim_json, hit_json

Asked = str | dict[str, Any]

_FIELDS = frozenset({"question", "collection", "history", "top_k"})


def _require_retriever(value: object) -> Retriever:
    if not isinstance(value, Retriever):
        raise ValueError(f"retriever is {value!r:.80}; give the one of rag.build.build_search(settings)")
    return value


class AnswerableRetriever(BaseRetriever):
    """Our search as a BaseRetriever: the best ``k`` passages of a collection, best first.

    Each Document has the passage as its text, its chunk's id, and as metadata document_id, title, uri, page, start,
    end, score: characters [start, end) of the document's text. Raises what Retriever.search and Collections.get raise.
    """

    retriever: Annotated[Any, AfterValidator(_require_retriever)]  # pydantic cannot look into Retriever's protocols
    collection: str = "default"
    k: int = Field(5, ge=1, le=1000)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - the signature that langchain-core asks for
        k: int | None = None,
    ) -> list[Document]:
        require_text("query", query)
        retriever: Retriever = self.retriever
        hits = retriever.search(query, retriever.store.collections.get(self.collection), k or self.k)
        return list(map(document_of, hits))


def document_of(hit: Hit) -> Document:
    """A hit as a Document."""
    metadata = hit_json(hit)
    text = metadata.pop("quote")
    return Document(id=str(hit.passage.chunk_id), page_content=text, metadata=metadata)


class AnswerRunnable(Runnable[Asked, dict[str, Any]]):
    """The pipeline as a Runnable; make it with answer_runnable."""

    def __init__(self, pipeline: Pipeline, vectorstore: VectorStore | None = None):
        self._pipeline = pipeline
        self._vectorstore = vectorstore

    def invoke(self, input: Asked, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """The Answer object of the public contract."""
        return self._call_with_config(self._answer, input, config, **kwargs)

    def stream(self, input: Asked, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[dict[str, Any]]:
        """{"passages": [...]}, {"token": "..."} a piece, {"claim": {...}} a sentence; last the Answer object itself.

        The last chunk is the whole result, so a step after this one, which keeps the last of chunks that don't add up,
        gets what invoke gives. Closing the iterator stops the generation.
        """
        yield from self._transform_stream_with_config(iter([input]), self._chunks, config, **kwargs)

    def _answer(self, asked: Asked) -> dict[str, Any]:
        for event in self._events(read_question(asked)):
            if isinstance(event, Answered):
                return answer_json(event.answer)
        raise AssertionError("events() ends with Answered")

    def _events(self, question: Question) -> Iterator[Event]:
        if self._vectorstore is None:
            return self._pipeline.events(question)
        check_question(question, self._pipeline.limits)
        found = self._vectorstore.similarity_search(standalone(question), k=question.top_k)
        return self._pipeline.events_from(question, [passage_of(number, one) for number, one in enumerate(found)])

    def _chunks(self, asked: Iterator[Asked]) -> Iterator[dict[str, Any]]:
        for one in asked:
            with closing(cast(Generator[Event, None, None], self._events(read_question(one)))) as events:
                yield from (_chunk(event) for event in events if not isinstance(event, StillWriting))


def passage_of(number: int, document: Document) -> Passage:
    """A Document of any vector store as a passage: the whole of a document of its own, so that quotes still hold."""
    source = str(document.metadata.get("source", document.id or number))
    title = str(document.metadata.get("title", source))
    text = document.page_content
    return Passage(number, document.id or source, title, source, 0, len(text), text)


def answer_runnable(pipeline: Pipeline, vectorstore: VectorStore | None = None) -> Runnable[Asked, dict[str, Any]]:
    """The whole pipeline as a Runnable: a question, or {question, collection?, history?, top_k?}, to its Answer.

    ``vectorstore``: search this one in place of ours; ``collection`` then means nothing.
    ``history`` is [{role, text}], as over REST. Raises what Pipeline.answer raises, and InvalidInput for another input.
    """
    return AnswerRunnable(pipeline, vectorstore)


def read_question(asked: Asked) -> Question:
    """The question in what a Runnable was given. Raises InvalidInput, naming the field."""
    if isinstance(asked, str):
        return Question(asked)
    if not isinstance(asked, Mapping):
        raise InvalidInput(f"the input is a {type(asked).__name__}; give a question or a dict with the key 'question'")
    unknown = sorted(str(key) for key in asked.keys() - _FIELDS)
    if unknown:
        raise InvalidInput(f"unknown key {unknown[0]!r}; a question takes {', '.join(sorted(_FIELDS))}")
    top_k = asked.get("top_k", Question.__dataclass_fields__["top_k"].default)
    if not isinstance(top_k, int):
        raise InvalidInput(f"top_k is {top_k!r}, it must be a whole number from 1 to {MAX_TOP_K}")
    return Question(
        require_text("question", asked.get("question")),
        require_text("collection", asked.get("collection", "default")),
        tuple(_turn(turn) for turn in asked.get("history", ())),
        top_k,
    )


def _turn(turn: object) -> Turn:
    if not isinstance(turn, Mapping) or turn.get("role") not in ("user", "assistant"):
        raise InvalidInput(f"history holds {turn!r:.80}; each turn is {{'role': 'user' or 'assistant', 'text': ...}}")
    return Turn(turn["role"], require_text("text", turn.get("text")))


def require_text(field: str, value: object) -> str:
    """``value`` itself, when it is text. Raises InvalidInput naming the field."""
    if not isinstance(value, str):
        raise InvalidInput(f"{field} is {value!r:.80}; it must be text")
    return value


def _chunk(event: PassagesFound | TextWritten | ClaimChecked | Answered) -> dict[str, Any]:
    match event:
        case PassagesFound(hits):
            return {"passages": [hit_json(hit) for hit in hits]}
        case TextWritten(text):
            return {"token": text}
        case ClaimChecked(claim):
            return {"claim": claim_json(claim)}
        case Answered(answer):
            return answer_json(answer)
