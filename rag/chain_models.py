"""Our vector store and generator as langchain-core's, and any chat model of langchain's in place of our generator.

store = AnswerableVectorStore(build_search(settings), collection="notes")
store.add_texts(["Every employee has 27 days of annual leave."], [{"source": "leave.md"}])
chat = ChatAnswerable(generator=build_generator(settings))
pipeline = replace(build_pipeline(settings), generator=ChatModelGenerator(some_chat_model))
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.vectorstores import VectorStore
from pydantic import Field, SkipValidation

from lm.tokenizer import Message
from rag.build import Search
from rag.chain import document_of, require_text
from rag.generate import Generator, Piece
from rag.prompt import Prompt
from rag.store import Collection, Source, document_key
from rag.types import Chunk, Hit, InvalidInput, NotFound, ParsedDocument

READER = "langchain/1"
_SCHEME = "langchain:"
_NEVER_REFUSE = 2.0  # above any probability
_CHARS_PER_TOKEN = 4  # a chat model of others tells no lengths without its own tokenizer: a usual guess
_ROLES = {"human": "user", "ai": "assistant", "system": "system"}


class AnswerableVectorStore(VectorStore):
    """A collection as a VectorStore: each text is a document of one passage, found by its vector, cited like any other.

    Ids are the caller's or made up; metadata is kept as JSON. Passages that came by other ways are found too.
    """

    def __init__(self, search: Search, collection: str = "default"):
        self._search = search
        self._name = collection

    @property
    def embeddings(self) -> None:
        """None: the encoder is ours and not of langchain's class."""
        return None

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,  # noqa: ARG003 - vectors come from the encoder of ``search``
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> AnswerableVectorStore:
        """A store with these texts; ``search`` and ``collection`` as for the constructor. ``embedding`` is not used."""
        store = cls(**kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str | None] | list[str] | None = None,
        **_kwargs: Any,
    ) -> list[str]:
        """Write the texts, in place of those of the same ids; returns the ids.

        Raises InvalidInput for unequal lengths."""
        given = [require_text("a text", text) for text in texts]
        extras = metadatas or [{}] * len(given)
        names = [name or uuid.uuid4().hex for name in ids or [None] * len(given)]
        if not len(given) == len(extras) == len(names):
            raise InvalidInput(f"{len(given)} texts, {len(extras)} metadatas, {len(names)} ids: give as many of each")
        encoder, store = self._search.encoder, self._search.store
        target = store.collections.ensure(self._name, encoder.fingerprint, encoder.dimension)
        vectors = encoder.encode(given)
        for row, (text, extra, name) in enumerate(zip(given, extras, names, strict=True)):
            source = Source(_SCHEME + name, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())
            document = ParsedDocument(str(extra.get("title", extra.get("source", name))), text, READER)
            key = store.documents.put(target, source, document, [Chunk(0, len(text), text)], vectors[row : row + 1])
            store.labels.put(key, extra)
        return names

    def delete(self, ids: list[str] | None = None, **_kwargs: Any) -> bool:
        """Delete the texts of those ids; those that are not there are no error. Raises InvalidInput without ids."""
        if ids is None:
            raise InvalidInput("delete needs ids; to delete a whole collection use Collections.delete")
        for name in ids:
            try:
                self._search.store.documents.delete(document_key(self._name, _SCHEME + name))
            except NotFound:
                continue
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The texts of those ids that are there, in the order asked for."""
        store = self._search.store
        keys = {name: document_key(self._name, _SCHEME + name) for name in ids}
        extras = store.labels.of(keys.values())
        there = store.documents.pages(keys.values())
        return [
            Document(id=name, page_content=store.documents.get(key).text, metadata=extras.get(key, {}))
            for name, key in keys.items()
            if key in there
        ]

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """The ``k`` texts nearest to the query by their vectors, best first."""
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def similarity_search_with_score(self, query: str, k: int = 4, **_kwargs: Any) -> list[tuple[Document, float]]:
        """The same with each one's cosine."""
        collection = self._collection()
        if collection is None:
            return []
        hits = self._search.retriever.search(require_text("query", query), collection, k, "dense")
        extras = self._search.store.labels.of(hit.passage.document_id for hit in hits)
        return [(_document(hit, extras), hit.score) for hit in hits]

    def _select_relevance_score_fn(self) -> Any:
        return lambda cosine: (1 + cosine) / 2

    def _collection(self) -> Collection | None:
        try:
            return self._search.store.collections.get(self._name)
        except NotFound:
            return None  # nothing was added yet: an empty store, not an error


def _document(hit: Hit, extras: dict[str, dict[str, Any]]) -> Document:
    passage = hit.passage
    if not passage.uri.startswith(_SCHEME):
        return document_of(hit)
    metadata = extras.get(passage.document_id, {})
    return Document(id=passage.uri.removeprefix(_SCHEME), page_content=passage.text, metadata=metadata)


class ChatAnswerable(BaseChatModel):
    """Our generator as a chat model: it writes what it would write after these messages, checked by nobody.

    For checked and cited answers use rag.chain.answer_runnable. ``temperature`` and the like are taken and change
    nothing: it writes the most probable words.
    """

    generator: Annotated[Any, SkipValidation]  # pydantic cannot look into the protocol
    max_tokens: int = Field(96, ge=1, le=1024)
    stop: list[str] | None = None

    @property
    def _llm_type(self) -> str:
        return "answerable"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "answerable"
        params["ls_model_name"] = kwargs.get("model", self.generator.name)
        return params

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - langchain-core's signature
        **_kwargs: Any,
    ) -> ChatResult:
        prompt = _prompt(messages)
        text = "".join(self._words(prompt, stop))
        message = AIMessage(text, usage_metadata=self._usage(prompt, text), response_metadata=self._named())
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **_kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        prompt, written = _prompt(messages), []
        for text in self._words(prompt, stop):
            written.append(text)
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=text))
            if run_manager:
                run_manager.on_llm_new_token(text, chunk=chunk)
            yield chunk
        usage = self._usage(prompt, "".join(written))
        last = AIMessageChunk(content="", usage_metadata=usage, response_metadata=self._named(), chunk_position="last")
        yield ChatGenerationChunk(message=last)

    def _words(self, prompt: Prompt, stop: list[str] | None) -> Iterator[str]:
        ends = [end for end in (stop or self.stop or []) if end]
        whole, given = "", 0
        for piece in self.generator.stream(prompt, self.max_tokens, _NEVER_REFUSE):
            whole += piece.text
            cut = min((at for at in (whole.find(end) for end in ends) if at >= 0), default=-1)
            if cut >= 0:
                yield whole[given:cut]
                return
            safe = len(whole) - _begun(whole, ends)
            yield whole[given:safe]
            given = safe
        yield whole[given:]

    def _usage(self, prompt: Prompt, text: str) -> UsageMetadata:
        read, written = self.generator.prompt_tokens(prompt), self.generator.count_tokens([text])[0]
        return UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)

    def _named(self) -> dict[str, Any]:
        return {"model_name": self.generator.name, "model_provider": "answerable"}


def _begun(text: str, ends: Sequence[str]) -> int:
    """How many last characters of ``text`` may be the beginning of one of ``ends``."""
    return max((size for end in ends for size in range(1, len(end)) if text.endswith(end[:size])), default=0)


class ChatModelGenerator:
    """Any chat model of langchain's as our Generator: its words are checked, scored and cited like our own.

    It cannot tell how probable a refusal is; where it writes that the documents lack the answer, that is one. Lengths
    in tokens are guesses.
    """

    def __init__(self, model: BaseChatModel, name: str = ""):
        self._model = model
        self.name = name or str(model._get_ls_params().get("ls_model_name") or type(model).__name__)
        self.fingerprint = hashlib.sha256(repr(sorted(model._identifying_params.items())).encode()).hexdigest()[:12]

    def stream(self, prompt: Prompt, max_new_tokens: int, refuse_at: float) -> Iterator[Piece]:  # noqa: ARG002
        """See Generator; ``refuse_at`` means nothing here."""
        for chunk in self._model.stream(_messages(prompt), max_tokens=max_new_tokens):
            if chunk.text:
                yield Piece(str(chunk.text), 1.0)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, guessed from its characters."""
        return [-(-len(text) // _CHARS_PER_TOKEN) for text in texts]

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Tokens of the whole prompt, guessed."""
        return sum(self.count_tokens([message.text for message in prompt.messages]))


def as_generator(model: BaseChatModel) -> Generator:
    """A chat model as the generator of a pipeline."""
    return ChatModelGenerator(model)


def _prompt(messages: Sequence[BaseMessage]) -> Prompt:
    unknown = next((message.type for message in messages if message.type not in _ROLES), None)
    if unknown:
        raise InvalidInput(f"a message of type {unknown!r}: those of {', '.join(_ROLES)} are taken")
    return Prompt(tuple(Message(_ROLES[message.type], str(message.text)) for message in messages), ())


def _messages(prompt: Prompt) -> list[BaseMessage]:
    kinds: dict[str, type[BaseMessage]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
    return [kinds[message.role](content=message.text) for message in prompt.messages]
