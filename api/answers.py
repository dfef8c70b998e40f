"""Past answers, what readers say of them, and the reports of eval."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from api import schemas
from api import schemas_service as s
from api.access import Caller
from api.deps import Admin, Reader, ServiceDep
from api.errors import Json
from rag.kept import document_ids, without
from rag.store import KeptAnswer, Store
from rag.types import NotFound

router = APIRouter()

_LINE = ("id", "question", "answer", "abstained", "support")


@router.get("/v1/answers", response_model=s.AnswerList, responses=schemas.errors(400, 422))
async def list_answers(service: ServiceDep, caller: Reader, limit: s.Limit = 50, offset: s.Offset = 0) -> Response:
    """Past answers, newest first, of the collections that the caller may use."""

    def read(store: Store) -> list[dict[str, Any]]:
        kept = store.answers.latest(caller.collections, limit, offset)
        gone = _gone(store, kept)
        return [_line(row, without(row.body, gone)) for row in kept]

    return Json({"answers": await service.rows(read)})


@router.get("/v1/answers/{answer_id}", response_model=schemas.Answer, responses=schemas.errors(400, 404, 422))
async def get_answer(answer_id: s.Id, service: ServiceDep, caller: Reader) -> Response:
    """A past answer; withdrawn where a document that it cites was deleted since."""

    def read(store: Store) -> dict[str, Any]:
        _require(store, caller, answer_id)
        body = store.answers.get(answer_id)
        there = store.documents.pages(document_ids(body))
        return without(body, document_ids(body) - set(there))

    return Json(await service.rows(read))


@router.post("/v1/feedback", status_code=201, response_model=s.FeedbackKept, responses=schemas.errors(400, 404, 422))
async def give_feedback(body: s.FeedbackIn, request: Request, service: ServiceDep, caller: Reader) -> Response:
    """Keep what a reader says of an answer."""

    def keep(store: Store) -> str:
        _require(store, caller, body.answer_id)
        return store.feedback.put(body.answer_id, body.verdict, body.correction, caller.key_id).id

    feedback_id = await service.rows(keep)
    request.state.target = body.answer_id
    return Json({"id": feedback_id}, 201)


@router.get("/v1/reports", response_model=s.ReportList, responses=schemas.errors(400))
async def list_reports(service: ServiceDep, caller: Reader) -> Response:
    """What eval measured on this database, newest first."""
    caller.require_all()
    runs = await service.rows(lambda store: store.eval_runs.latest(s.MAX_PAGE))
    lines = [
        {
            "name": run.name,
            "kind": run.kind,
            "data": run.data,
            "metrics": run.metrics,
            "created_at": run.created_at.isoformat(),
        }
        for run in runs
    ]
    return Json({"reports": lines})


@router.get("/v1/reports/{name}", responses=schemas.errors(400, 404, 422))
async def get_report(name: s.RunName, service: ServiceDep, caller: Reader) -> Response:
    """A run whole, with every row, as its file has it."""
    caller.require_all()
    body = await service.rows(lambda store: store.eval_runs.body(name))
    return Response(body, media_type="application/json")


@router.get("/v1/audit", response_model=s.AuditList, responses=schemas.errors(400, 422))
async def list_audit(service: ServiceDep, caller: Admin, limit: s.Limit = 100) -> Response:
    """The last lines of the audit log: changes, and what was refused."""
    caller.require_all()
    entries = await service.rows(lambda store: store.audit.latest(limit))
    lines = [
        {
            "at": entry.at.isoformat() if entry.at else "",
            "key_id": entry.key_id,
            "action": entry.action,
            "target": entry.target,
            "status": entry.status,
            "request_id": entry.request_id,
        }
        for entry in entries
    ]
    return Json({"entries": lines})


def _require(store: Store, caller: Caller, answer_id: str) -> None:
    if not caller.opens(store.answers.collection_of(answer_id)):
        raise NotFound(f"answer {answer_id!r} does not exist")


def _gone(store: Store, kept: tuple[KeptAnswer, ...]) -> set[str]:
    quoted = {document_id for row in kept for document_id in document_ids(row.body)}
    return quoted - set(store.documents.pages(quoted))


def _line(row: KeptAnswer, body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in _LINE} | {
        "created_at": row.created_at.isoformat(),
        "collection": row.collection,
    }
