"""The records that every stage speaks, and the one error tree.

Errors
    AnswerableError
     +- InvalidInput          the caller sent something we cannot take (HTTP 422, exit 2)
     |   +- DocumentRejected  one file cannot be read: empty, broken, too large, unknown kind
     +- NotFound              no such document, collection, run (HTTP 404)
     +- ModelMissing          weights are not in HOME/models (HTTP 503)
     +- ModelBroken           weights are there but altered or of another kind (HTTP 503)
     +- IndexBroken           the index does not fit its rows and could not be mended (HTTP 503)
     +- EncoderChanged        rows were embedded by another encoder than the one configured (HTTP 409)
     +- Superseded            the row was changed by another process meanwhile (HTTP 409)
     +- GeneratorUnavailable  the generator's server is down, slow, or answers nonsense (HTTP 503)
     +- ClusterUnavailable    no Ray cluster there, or its nodes do not fit (exit 1)
     +- StoreUnavailable      database locked, full, unreachable or of another version (HTTP 503)
         +- StoreLost         its connection broke in the middle; a write may or may not have been kept (HTTP 503)

All offsets are in characters (Python code points) of the stored document text, end exclusive, so that
``document.text[start:end] == quote`` holds for every citation. Scores called support are probabilities in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class AnswerableError(Exception):
    """Root of all errors we raise; ``str(error)`` is one line with the value and the cure."""

    code = "error"
    status = 500
    exit_code = 1


class InvalidInput(AnswerableError):
    """The caller sent something that cannot be taken."""

    code = "invalid_input"
    status = 422
    exit_code = 2


class DocumentRejected(InvalidInput):
    """One document cannot be read; the others of its batch are not touched."""

    code = "document_rejected"
    exit_code = 1


class NotFound(AnswerableError):
    """No row of that name or id."""

    code = "not_found"
    status = 404


class ModelMissing(AnswerableError):
    """Weights are not in HOME/models; the message names what to run."""

    code = "model_missing"
    status = 503


class ModelBroken(AnswerableError):
    """Weights are present but altered, cut short, or of another kind."""

    code = "model_broken"
    status = 503


class IndexBroken(AnswerableError):
    """Index files do not fit the database and could not be rebuilt from it."""

    code = "index_broken"
    status = 503


class EncoderChanged(AnswerableError):
    """The collection's vectors come from another encoder than the one configured."""

    code = "encoder_changed"
    status = 409


class Superseded(AnswerableError):
    """Another process changed the row between reading and writing; look again and decide anew."""

    code = "superseded"
    status = 409


class GeneratorUnavailable(AnswerableError):
    """The server that writes answers is down, slow, says no, answers nonsense or drops its stream."""

    code = "generator_unavailable"
    status = 503


class ClusterUnavailable(AnswerableError):
    """The cluster that should read documents is not there, or its nodes lack what they need."""

    code = "cluster_unavailable"
    status = 503


class StoreUnavailable(AnswerableError):
    """The database is locked, full, unreachable or of another version."""

    code = "store_unavailable"
    status = 503


class StoreLost(StoreUnavailable):
    """The connection broke in the middle of a transaction; a write may or may not have been kept: look, try again."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a document: ``text[start:end]`` stood on page ``number`` (counted from 1)."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a document: its level (1 is the highest) and the characters it covers."""

    level: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Block:
    """Characters that a chunk must not be cut out of or into: a table row, a code block, a list item.

    ``kind`` is "table", "code" or "list". For a table, ``header`` is the header row's text, which every chunk
    holding rows of the table gets as context without it entering the cited characters.
    """

    kind: str
    start: int
    end: int
    header: str = ""


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """What a reader makes of a file: normalised text and the map back to pages and structure.

    ``pages`` (slides, sheets) is empty where the format has none (txt, md, html, docx). ``headings`` and ``blocks`` are
    sorted by start. ``note`` says in one line what could not be read of the file, such as scanned pages.
    """

    title: str
    text: str
    reader: str
    pages: tuple[Page, ...] = ()
    headings: tuple[Heading, ...] = ()
    blocks: tuple[Block, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage to be: characters [start, end) of its document, and the context that goes with it into the encoder."""

    start: int
    end: int
    text: str
    heading: str = ""
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk as retrieval returns it: its text, and where in which document it stands."""

    chunk_id: int
    document_id: str
    title: str
    uri: str
    start: int
    end: int
    text: str
    heading: str = ""
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found by a search. ``score`` orders the list; ``dense`` is a cosine, ``bm25`` is not bounded."""

    passage: Passage
    score: float
    dense: float | None = None
    bm25: float | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which documents a search may find in; every part that is given must hold.

    ``path``: the address, with * for any characters and ? for one; ``title``: part of the title, whatever the case;
    ``kind``: the ending of the address, as "pdf"; ``after`` and ``before``: when the document last changed in the
    store, with a time zone, the first included, the last not.
    """

    path: str = ""
    title: str = ""
    kind: str = ""
    after: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier turn of the conversation; ``role`` is "user" or "assistant"."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, of which collection, after which earlier turns. ``top_k`` is the number of passages to read."""

    text: str
    collection: str = "default"
    history: tuple[Turn, ...] = ()
    top_k: int = 3
    where: Filter | None = None


class Verdict(StrEnum):
    """What the verifier says of a claim."""

    SUPPORTED = "supported"
    UNSUPPORTED = "unsupported"
    CONTRADICTED = "contradicted"


@dataclass(frozen=True, slots=True)
class Citation:
    """The characters of a document that a claim rests on: ``document.text[start:end] == quote``."""

    document_id: str
    title: str
    uri: str
    page: int | None
    start: int
    end: int
    quote: str
    score: float


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of the answer, ``answer[start:end] == text``, with its support and the evidence for it.

    ``unsupported``: characters [start, end) of the answer that the passages do not bear out, of a claim that is not
    supported, by verifiers that can tell.
    """

    text: str
    start: int
    end: int
    support: float
    verdict: Verdict
    citations: tuple[Citation, ...] = ()
    unsupported: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and written by the generator."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Timings:
    """Wall time of each stage, in milliseconds."""

    retrieve: float = 0.0
    rerank: float = 0.0
    generate: float = 0.0
    verify: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelNames:
    """Which model did which job, as name@fingerprint; empty where no model took part."""

    generator: str = ""
    retriever: str = ""
    reranker: str = ""
    verifier: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question, or a refusal (``abstained``) with its ``reason`` and the nearest passages.

    ``support`` is how probable it is right (rag/answer_support.py), of a long answer the lowest support among the
    claims; 0 for a refusal. ``unanswerable`` is how probable the generator held it, before it wrote, that the passages
    lack the answer; None where it was not asked or cannot tell. ``answerable`` is how probable it is that they have
    it: by the reranker, and, once an answer was tried, by all that is known (rag/answerable.py); None where nothing
    tells.
    """

    id: str
    question: str
    answer: str
    abstained: bool
    reason: str
    support: float
    unanswerable: float | None = None
    answerable: float | None = None
    claims: tuple[Claim, ...] = ()
    passages: tuple[Hit, ...] = ()
    usage: Usage = field(default_factory=Usage)
    timings_ms: Timings = field(default_factory=Timings)
    models: ModelNames = field(default_factory=ModelNames)
