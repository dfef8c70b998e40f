"""What the server gives, as records. Fields that a newer server adds are left out, not refused."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """What all records have in common."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Turn(Record):
    """An earlier turn of the conversation."""

    role: Literal["user", "assistant"]
    text: str


class Hit(Record):
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
    """The characters of a document that a claim rests on."""


class Part(Record):
    """Characters [start, end) of the answer."""

    start: int
    end: int


class Claim(Record):
    """A sentence of the answer, answer[start:end] == text, with its support in [0, 1]."""

    text: str
    start: int
    end: int
    support: float
    verdict: Literal["supported", "unsupported", "contradicted"]
    citations: list[Citation]
    unsupported: list[Part] = []


class Usage(Record):
    """Tokens that the generator read and wrote."""

    prompt_tokens: int
    completion_tokens: int


class Timings(Record):
    """Wall time of each stage, in milliseconds."""

    retrieve: float
    rerank: float
    generate: float
    verify: float
    total: float


class Models(Record):
    """Which model did which job, as name@fingerprint."""

    generator: str
    retriever: str
    reranker: str
    verifier: str


class Answer(Record):
    """The answer, or a refusal (abstained) with its reason and the nearest passages."""

    id: str
    question: str
    answer: str
    abstained: bool
    reason: str
    support: float
    unanswerable: float | None = None
    answerable: float | None = None
    claims: list[Claim]
    passages: list[Hit]
    usage: Usage
    timings_ms: Timings
    models: Models


class Event(Record):
    """A step of an answer being made: exactly one field is set, and the last event has ``answer``."""

    passages: list[Hit] | None = None
    token: str | None = None
    claim: Claim | None = None
    answer: Answer | None = None


class Document(Record):
    """A document without its text."""

    id: str
    uri: str
    title: str
    status: str
    pages: int
    chunks: int


class DocumentText(Document):
    """A document with its text."""

    collection: str
    text: str


class Job(Record):
    """An upload: queued, running, done or failed; ``report`` has failed: [{uri, reason}] among its fields."""

    id: str
    collection: str
    status: Literal["queued", "running", "done", "failed"]
    files: list[str]
    total: int
    done: int
    report: dict[str, Any]
    error: str

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in ("done", "failed")


class Collection(Record):
    """A collection and what it holds."""

    name: str
    encoder: str
    documents: int
    chunks: int
