"""OpenAI's chat completions and models, for the many programs that speak that shape.

A model is a collection: "answerable" asks the collection default, "answerable/NAME" another one. A program of that
shape cannot take words back, so a stream carries only what was checked: it opens at once, then each sentence comes
after the verifier has judged it, and the last chunk has the whole Answer as ``answerable``.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from api import schemas
from api import schemas_openai as openai
from api.ask import EventStream, start
from api.deps import Reader, ServiceDep
from api.errors import Json, answerable_json, encode, internal_json
from api.work import Job
from rag.pipeline import Answered, Event
from rag.types import AnswerableError, InvalidInput, NotFound, Question, Turn
from rag.wire import answer_json

log = structlog.get_logger()
router = APIRouter()

NAME = "answerable"
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The answer, or its chunks.", "content": {"text/event-stream": {}}}
}
_Body = dict[str, Any]


@router.post(
    "/v1/chat/completions",
    response_model=openai.ChatResponse,
    responses=schemas.errors(400, 404, 409, 422, 504) | _EVENTS,
)
async def chat(body: openai.ChatRequest, request: Request, service: ServiceDep, caller: Reader) -> Response:
    """Answer the last message of a conversation from the documents."""
    job = await start(service, caller, question_of(body, service.settings.top_k), request.receive)
    try:
        event = await job.next()
        if body.stream:
            return EventStream(job, _chunks(job, event, body, request.state.request_id))
        answer = await _last(job, event)
    except BaseException:
        job.close()
        raise
    job.close()
    return Json(completion(answer, body.model))


@router.get("/v1/models", response_model=openai.ModelList, responses=schemas.errors(400))
async def list_models(service: ServiceDep, caller: Reader) -> Response:
    """The collections that the caller may ask, as models."""
    rows = await service.rows(lambda store: store.collections.all())
    names = [model_of(row.name) for row in rows if caller.opens(row.name)]
    models = [{"id": name, "object": "model", "created": 0, "owned_by": NAME} for name in names]
    return Json({"object": "list", "data": models})


def question_of(body: openai.ChatRequest, top_k: int) -> Question:
    """The question in a conversation. Raises NotFound for another model, InvalidInput without a question at the end."""
    name, _, collection = body.model.partition("/")
    if name != NAME:
        raise NotFound(f"model {body.model!r:.120} does not exist; GET /v1/models lists those there are")
    turns = [turn for turn in body.messages if turn.role in ("user", "assistant")]
    if not turns or turns[-1].role != "user":
        raise InvalidInput("the last message is not the user's; end with a question")
    history = tuple(Turn(turn.role, turn.text()) for turn in turns[:-1])
    return Question(turns[-1].text(), collection or "default", history, top_k)


def model_of(collection: str) -> str:
    """The model's name of a collection."""
    return NAME if collection == "default" else f"{NAME}/{collection}"


def completion(answer: _Body, model: str) -> _Body:
    """An Answer object as OpenAI's chat completion."""
    message = {"role": "assistant", "content": answer["answer"], "refusal": None}
    return _head(answer, model, "chat.completion") | {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": _usage(answer),
        "answerable": answer,
    }


def pieces(answer: _Body) -> Iterator[str]:
    """The answer's text, a sentence a piece; together they are the text to the last character."""
    at = 0
    for claim in answer["claims"]:
        yield answer["answer"][at : claim["end"]]
        at = claim["end"]
    if answer["answer"][at:]:
        yield answer["answer"][at:]


async def _last(job: Job, event: Event) -> _Body:
    while not isinstance(event, Answered):
        event = await job.next()
    return answer_json(event.answer)


async def _chunks(job: Job, event: Event, body: openai.ChatRequest, request_id: str) -> AsyncIterator[bytes]:
    opened: _Body = {"id": request_id}
    yield _chunk(opened, body.model, {"role": "assistant", "content": ""})
    try:
        answer = await _last(job, event)
    except ClientDisconnect:
        return
    except AnswerableError as error:
        log.error("request failed", code=error.code, error=str(error), request_id=request_id)
        yield _data(answerable_json(error))
        return
    except Exception:  # the response has begun: too late for a status, so the guard can't answer
        log.exception("unexpected error", request_id=request_id)
        yield _data(internal_json(request_id))
        return
    for piece in pieces(answer):
        yield _chunk(opened, body.model, {"content": piece})
    yield _chunk(opened, body.model, {}, {"answerable": answer}, "stop")
    if body.stream_options and body.stream_options.include_usage:
        yield _data(_head(opened, body.model, "chat.completion.chunk") | {"choices": [], "usage": _usage(answer)})
    yield b"data: [DONE]\n\n"


def _chunk(opened: _Body, model: str, delta: _Body, more: _Body | None = None, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return _data(_head(opened, model, "chat.completion.chunk") | {"choices": [choice]} | (more or {}))


def _head(answer: _Body, model: str, kind: str) -> _Body:
    return {"id": f"chatcmpl-{answer['id']}", "object": kind, "created": int(time.time()), "model": model}


def _usage(answer: _Body) -> _Body:
    read, written = answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _data(value: _Body) -> bytes:
    return b"data: %s\n\n" % encode(value)
