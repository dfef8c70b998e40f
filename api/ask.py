"""POST /v1/ask: a question in, an Answer out, whole or as server-sent events while it is made.

Events, each with one JSON object as data, in this order:
    passages {"passages": [hit, ...]}   the passages that will be read
    token    {"text": "..."}            words as they are written, not checked yet
    claim    a claim with its support   each sentence, checked
    answer   the whole Answer           the last one; it counts, also where it withdraws what was written
    error    {"error": {...}}           in its place when something went wrong after the stream had begun
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from typing import Annotated, Any, cast

import structlog
from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from api import schemas, tracing
from api.access import Caller, known_collection
from api.deps import Reader, Service, ServiceDep
from api.errors import Json, answerable_json, encode, internal_json
from api.metrics import Metrics
from api.work import Job, Steps
from rag.pipeline import Answered, ClaimChecked, Event, PassagesFound, Pipeline, TextWritten, check_question
from rag.types import AnswerableError, Question, StoreUnavailable
from rag.wire import answer_json, claim_json, hit_json

log = structlog.get_logger()
router = APIRouter()

EVENT_STREAM = "text/event-stream"
_STREAM_EXAMPLE = (
    'event: token\ndata: {"text":"27 days"}\n\nevent: answer\ndata: {"id":"5b0e…","answer":"27 days",…}\n\n'
)
_DOCUMENTED = schemas.errors(400, 404, 409, 422, 504) | {
    200: {"description": "The answer, or its events.", "content": {EVENT_STREAM: {"example": _STREAM_EXAMPLE}}}
}


@router.post("/v1/ask", response_model=schemas.Answer, responses=_DOCUMENTED)
async def ask(
    body: schemas.AskRequest,
    request: Request,
    service: ServiceDep,
    caller: Reader,
    accept: Annotated[str, Header()] = "",
) -> Response:
    """Answer a question from the documents of a collection, or say that they do not hold the answer."""
    job = await start(service, caller, body.record(service.settings.top_k), request.receive)
    try:
        event = await job.next()  # before the response begins, so that a failed search still gets its status
        if body.stream or EVENT_STREAM in accept.lower():
            return EventStream(job, _chunks(job, event, request.state.request_id))
        while not isinstance(event, Answered):
            event = await job.next()
    except BaseException:
        job.close()
        raise
    job.close()
    return Json(answer_json(event.answer))


async def start(service: Service, caller: Caller, question: Question, receive: Receive) -> Job:
    """Queue a question of a caller who may ask it. Raises InvalidInput, Forbidden, NotFound, Busy, NotReady."""
    pipeline = await service.pipeline()
    check_question(question, pipeline.limits)  # here too, so that a bad question need not wait for its turn
    await service.rows(lambda store: known_collection(store, caller, question.collection))
    return service.generations.start(partial(steps, pipeline, question, service.metrics), receive)


def steps(pipeline: Pipeline, question: Question, metrics: Metrics) -> Steps:
    """The pipeline's events; the answer is counted, traced and kept before it goes out."""
    started, spoken = time.perf_counter(), False
    with tracing.span("answer"), closing(cast(Steps, pipeline.events(question))) as events:
        for event in events:
            if isinstance(event, TextWritten) and not spoken:
                spoken = True
                metrics.first_event.observe(time.perf_counter() - started)
            if isinstance(event, Answered):
                metrics.observe(event.answer)
                tracing.stages(event.answer)
                _keep(pipeline, question, event)
            yield event


def _keep(pipeline: Pipeline, question: Question, event: Answered) -> None:
    body = answer_json(event.answer)
    try:
        pipeline.retriever.store.answers.put(event.answer.id, question.collection, body)
    except StoreUnavailable as error:  # a full disk must not cost the reader an answer that was found
        log.error("answer not kept", id=event.answer.id, error=str(error))


class EventStream(StreamingResponse):
    """The job's events as they come; the job ends with the response, however that ends."""

    def __init__(self, job: Job, chunks: AsyncIterator[bytes]):
        headers = {"X-Accel-Buffering": "no"}  # a proxy that collects the stream would hold the words back
        super().__init__(chunks, media_type=EVENT_STREAM, headers=headers)
        self._job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._job.close()


async def _chunks(job: Job, event: Event, request_id: str) -> AsyncIterator[bytes]:
    yield _encoded(event)
    try:
        while not isinstance(event, Answered):
            event = await job.next()
            yield _encoded(event)
    except AnswerableError as error:
        log.error("request failed", code=error.code, error=str(error), request_id=request_id)
        yield server_sent("error", answerable_json(error))
    except ClientDisconnect:
        return  # nobody reads on
    except Exception:  # the response has begun: too late for a status, so the guard can't answer
        log.exception("unexpected error", request_id=request_id)
        yield server_sent("error", internal_json(request_id))


def _encoded(event: Event) -> bytes:
    if isinstance(event, PassagesFound):
        return server_sent("passages", {"passages": [hit_json(hit) for hit in event.hits]})
    if isinstance(event, TextWritten):
        return server_sent("token", {"text": event.text})
    if isinstance(event, ClaimChecked):
        return server_sent("claim", claim_json(event.claim))
    assert isinstance(event, Answered)  # the job keeps StillWriting to itself
    return server_sent("answer", answer_json(event.answer))


def server_sent(name: str, data: dict[str, Any]) -> bytes:
    """One event in the format of https://html.spec.whatwg.org/multipage/server-sent-events.html.

    The data stays on one line: JSON escapes every line break.
    """
    return b"event: %s\ndata: %s\n\n" % (name.encode(), encode(data))
