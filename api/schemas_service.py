"""Requests and responses of documents, jobs, collections, feedback, past answers and reports; see api/schemas.py."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import ConfigDict, Field

from api.schemas import Request, Response, Text
from rag.store import Job, StoredDocument

MAX_PAGE = 1000

Id = Annotated[str, Path(pattern=r"^[0-9A-Za-z_-]{1,64}$", description="an id that a listing gave")]
RunName = Annotated[str, Path(pattern=r"^[0-9A-Za-z_.-]{1,200}$", description="the name of a run, as listed")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="rows to give")]
Offset = Annotated[int, Query(ge=0, le=2**31 - 1, description="rows to leave out before")]
NewName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", description="name of a collection")]
CollectionQuery = Annotated[str, Query(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", description="name of a collection")]
CollectionPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", description="name of a collection")]


class Document(Response):
    """A document without its text."""

    id: str
    uri: str
    title: str
    status: Literal["ready"]
    pages: int
    chunks: int


class PageSpan(Response):
    """text[start:end] of the document stood on page ``number``."""

    number: int
    start: int
    end: int


class DocumentText(Document):
    """A document with its text; every citation's offsets count characters of it."""

    collection: str
    text: str
    page_spans: list[PageSpan]


class Documents(Response):
    """Documents of a collection by uri; ``total`` counts those that were left out too."""

    documents: list[Document]
    total: int


class Deleted(Response):
    """What was deleted."""

    deleted: str


class JobState(Response):
    """An upload: queued, running, done, or failed as a whole; ``report`` is what `ingest --json` prints."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "5b0e6f0c0b5e4b0f9c1a2d3e4f506172",
                    "collection": "default",
                    "status": "done",
                    "files": ["leave.md"],
                    "total": 1,
                    "done": 1,
                    "report": {"added": 1, "failed": []},
                    "error": "",
                    "created_at": "2026-11-25T22:00:00+00:00",
                    "finished_at": "2026-11-25T22:00:01+00:00",
                }
            ]
        }
    )

    id: str
    collection: str
    status: Literal["queued", "running", "done", "failed"]
    files: list[str]
    total: int
    done: int
    report: dict[str, Any]
    error: str
    created_at: str
    finished_at: str | None


class JobList(Response):
    """Jobs, newest first."""

    jobs: list[JobState]


class CollectionInfo(Response):
    """A collection and what it holds."""

    name: str
    encoder: str
    documents: int
    chunks: int


class CollectionList(Response):
    """Collections by name."""

    collections: list[CollectionInfo]


class NewCollection(Request):
    """A collection to be made."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "handbook"}]})

    name: NewName


class FeedbackIn(Request):
    """What a reader says of an answer; ``correction`` is the answer that it should have been."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"answer_id": "5b0e6f0c0b5e4b0f9c1a2d3e4f506172", "verdict": "down", "correction": "28 days"}]
        }
    )

    answer_id: Annotated[Text, Field(min_length=1, max_length=64)]
    verdict: Literal["up", "down"]
    correction: Annotated[Text, Field(max_length=10_000)] = ""


class FeedbackKept(Response):
    """The id of the feedback that was kept."""

    id: str


class AnswerLine(Response):
    """A past answer in a list."""

    id: str
    created_at: str
    collection: str
    question: str
    answer: str
    abstained: bool
    support: float


class AnswerList(Response):
    """Past answers, newest first."""

    answers: list[AnswerLine]


class ReportLine(Response):
    """An evaluation: what was measured and what came out."""

    name: str
    kind: str
    data: str
    metrics: dict[str, Any]
    created_at: str


class ReportList(Response):
    """Evaluations, newest first."""

    reports: list[ReportLine]


class AuditLine(Response):
    """A line of the audit log."""

    at: str
    key_id: str
    action: str
    target: str
    status: int
    request_id: str


class AuditList(Response):
    """The last lines of the audit log, newest first."""

    entries: list[AuditLine]


def document_json(row: StoredDocument) -> dict[str, Any]:
    """A document without its text."""
    return {
        "id": row.id,
        "uri": row.uri,
        "title": row.title,
        "status": "ready",
        "pages": len(row.pages),
        "chunks": row.chunk_count,
    }


def job_json(job: Job) -> dict[str, Any]:
    """A job."""
    return {
        "id": job.id,
        "collection": job.collection,
        "status": job.status,
        "files": list(job.files),
        "total": job.total,
        "done": job.done,
        "report": job.report,
        "error": job.error,
        "created_at": job.created_at.isoformat(),
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
    }
