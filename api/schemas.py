"""Requests and responses, in the shape of the public contract, with the examples that /docs shows.

Responses are made by rag/wire.py; these models describe them, and a test holds the two together.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from rag.pipeline import MAX_TOP_K
from rag.types import Filter, Question, Turn

MAX_HITS = 1000
MAX_TURNS = 100
MAX_TURN_CHARS = 20_000


_NO_TEXT = re.compile("[\0\ud800-\udfff]")  # NUL and lone surrogates: no database and no UTF-8 takes them


def _is_text(text: str) -> str:
    found = _NO_TEXT.search(text)
    if found:
        name = "a NUL character" if found[0] == "\0" else "half of a surrogate pair"
        raise ValueError(f"{name} stands at position {found.start()}; take it out")
    return text


Text = Annotated[str, AfterValidator(_is_text), Field(json_schema_extra={"pattern": "^[^\\u0000]*$"})]
# Words: checked by the pipeline, which says so better than a pattern could; the pattern is for those who read OpenAPI
Words = Annotated[
    str, AfterValidator(_is_text), Field(json_schema_extra={"pattern": "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$"})
]


def _whole(value: object) -> object:
    """35.0 as 35: JSON knows one kind of number, and JSON Schema calls both integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Whole = BeforeValidator(_whole)
TopK = Annotated[int, Field(ge=1, le=MAX_TOP_K), _Whole]  # the bounds first: OpenAPI has them of the number itself
HitCount = Annotated[int, Field(ge=1, le=MAX_HITS), _Whole]
One = Annotated[int, Field(ge=1, le=1), _Whole]
CollectionName = Annotated[Text, Field(min_length=1, max_length=64, description="name of a collection")]


def _written(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("write the time as text, such as 2026-01-31T00:00:00Z")
    return value


# JSON has no dates: text, with a time zone; pydantic alone would take a number of seconds too
Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_written)]
Probability = Annotated[float, Field(ge=0, le=1)]


class Request(BaseModel):
    """What every request has in common: unknown fields are refused, so that a typing error is not a silent default."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TurnIn(Request):
    """An earlier turn of the conversation."""

    role: Literal["user", "assistant"]
    text: Annotated[Text, Field(max_length=MAX_TURN_CHARS)]


class Where(Request):
    """Which documents to search; every part that is given must hold."""

    path: Text = Field("", max_length=1000, description="address of the document; * stands for anything")
    title: Text = Field("", max_length=1000, description="part of the title")
    kind: Text = Field("", max_length=20, description="ending of the address, as pdf")
    after: Moment | None = Field(None, description="changed since then")
    before: Moment | None = Field(None, description="changed before then")

    def record(self) -> Filter:
        """The same as a record."""
        return Filter(self.path, self.title, self.kind, self.after, self.before)


class AskRequest(Request):
    """A question, of which collection, after which earlier turns."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"question": "How many days of annual leave do I get?"},
                {
                    "question": "And in the first year?",
                    "collection": "default",
                    "history": [
                        {"role": "user", "text": "How many days of annual leave do I get?"},
                        {"role": "assistant", "text": "27 days a year."},
                    ],
                    "top_k": 3,
                    "stream": False,
                },
            ]
        }
    )

    question: Words
    collection: CollectionName = "default"
    history: Annotated[list[TurnIn], Field(max_length=MAX_TURNS)] = []
    top_k: TopK | None = Field(None, description="passages to read; left out: as the server is set")
    where: Where | None = Field(None, description="only documents like this; all by default")
    stream: bool = Field(False, description="answer with server-sent events; so does Accept: text/event-stream")

    def record(self, default_top_k: int) -> Question:
        """The question as the pipeline takes it."""
        history = tuple(Turn(turn.role, turn.text) for turn in self.history)
        top_k = default_top_k if self.top_k is None else self.top_k
        where = self.where.record() if self.where else None
        return Question(self.question, self.collection, history, top_k, where)


class SearchRequest(Request):
    """A query, of which collection, and how many hits to give."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"query": "annual leave", "k": 3}]})

    query: Words
    collection: CollectionName = "default"
    k: HitCount = Field(10, description="hits to give")
    where: Where | None = Field(None, description="only documents like this; all by default")


class Response(BaseModel):
    """What every response has in common."""

    model_config = ConfigDict(extra="forbid")


class Hit(Response):
    """A passage: characters [start, end) of the text of its document."""

    document_id: str
    title: str
    uri: str
    page: int | None
    start: int
    end: int
    quote: str
    score: float


class Citation(Hit):
    """The characters of a document that a claim rests on: document.text[start:end] == quote."""


class Part(Response):
    """Characters [start, end) of the answer."""

    start: int
    end: int


class Claim(Response):
    """A sentence of the answer, answer[start:end] == text, with its support and the parts that are not borne out."""

    text: str
    start: int
    end: int
    support: Probability
    verdict: Literal["supported", "unsupported", "contradicted"]
    citations: list[Citation]
    unsupported: list[Part]


class Usage(Response):
    """Tokens that the generator read and wrote."""

    prompt_tokens: int
    completion_tokens: int


class Timings(Response):
    """Wall time of each stage, in milliseconds."""

    retrieve: float
    rerank: float
    generate: float
    verify: float
    total: float


class Models(Response):
    """Which model did which job, as name@fingerprint; empty where none took part."""

    generator: str
    retriever: str
    reranker: str
    verifier: str


_QUOTE: dict[str, Any] = {
    "document_id": "9f2c1a7be04d5c3388aa",
    "title": "Leave",
    "uri": "/documents/handbook/leave.md",
    "page": None,
    "start": 112,
    "end": 168,
    "quote": "Every employee has 27 days of annual leave in each year.",
    "score": 0.97,
}
_CLAIM: dict[str, Any] = {
    "text": "27 days of annual leave.",
    "start": 0,
    "end": 24,
    "support": 0.97,
    "verdict": "supported",
    "citations": [_QUOTE],
    "unsupported": [],
}
ANSWER_EXAMPLE: dict[str, Any] = {
    "id": "5b0e6f0c0b5e4b0f9c1a2d3e4f506172",
    "question": "How many days of annual leave do I get?",
    "answer": "27 days of annual leave.",
    "abstained": False,
    "reason": "",
    "support": 0.97,
    "unanswerable": 0.03,
    "answerable": 0.94,
    "claims": [_CLAIM],
    "passages": [_QUOTE | {"score": 0.71}],
    "usage": {"prompt_tokens": 412, "completion_tokens": 9},
    "timings_ms": {"retrieve": 14.0, "rerank": 0.0, "generate": 610.0, "verify": 31.0, "total": 655.0},
    "models": {
        "generator": "smollm2-135m@0123456789ab",
        "retriever": "minilm-l6@0123456789ab",
        "reranker": "",
        "verifier": "baseline-check@0123456789ab",
    },
}


class Answer(Response):
    """The answer, or a refusal (abstained) with its reason and the nearest passages."""

    model_config = ConfigDict(json_schema_extra={"examples": [ANSWER_EXAMPLE]})

    id: str
    question: str
    answer: str
    abstained: bool
    reason: str
    support: Probability
    unanswerable: Probability | None
    answerable: Probability | None
    claims: list[Claim]
    passages: list[Hit]
    usage: Usage
    timings_ms: Timings
    models: Models


class SearchResponse(Response):
    """The passages found, best first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"hits": [_QUOTE]}]})

    hits: list[Hit]


class Health(Response):
    """The process lives."""

    status: Literal["ok"]


class Readiness(Response):
    """Models are loaded and the database answers."""

    status: Literal["ready"]
    models: dict[str, str]


class ErrorDetail(Response):
    """What went wrong: a code for programs, a line for people, and more where there is more to say."""

    code: str
    message: str
    detail: Any = None


class Error(Response):
    """Every error, whatever its status."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"error": {"code": "not_found", "message": "collection 'hr' does not exist (there are: default)"}}
            ]
        }
    )

    error: ErrorDetail


_ALWAYS = (401, 403, 408, 413, 429, 500, 503)  # what any address behind a key may answer


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route, for its documentation: ``statuses``, and those that every route has."""
    return {status: {"model": Error} for status in sorted({*statuses, *_ALWAYS})}


def open_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The same for a route that asks for no key."""
    return {status: {"model": Error} for status in statuses}
