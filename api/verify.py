"""POST /v1/verify: any text in, each of its sentences with support, verdict and citations out."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field

from api import schemas
from api.access import known_collection
from api.deps import Reader, ServiceDep
from api.errors import Json
from rag.check_text import MAX_PASSAGES, check_against, check_given
from rag.pipeline import Pipeline
from rag.types import Claim, InvalidInput
from rag.wire import claim_json

router = APIRouter()


def _only(given: str, other: str, kind: str) -> dict[str, Any]:
    return {"required": [given], "properties": {given: {"type": kind}, other: {"type": "null"}}}


class VerifyRequest(schemas.Request):
    """A text, and what to check it against: passages, or else a collection. ``question``: what the text answers."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [_only("passages", "collection", "array"), _only("collection", "passages", "string")],
            "examples": [
                {"text": "The trial lasts 30 days.", "passages": ["You may try it for 14 days, free of charge."]},
                {"text": "Employees get 27 days of leave.", "collection": "default"},
            ],
        }
    )

    text: schemas.Text
    passages: Annotated[list[schemas.Text], Field(max_length=MAX_PASSAGES)] | None = None
    collection: schemas.CollectionName | None = None
    question: schemas.Text = ""


class VerifyResponse(schemas.Response):
    """The sentences of the text, in order, the least support among them, and the model that judged."""

    support: schemas.Probability
    claims: list[schemas.Claim]
    verifier: str


@router.post("/v1/verify", response_model=VerifyResponse, responses=schemas.errors(400, 404, 409, 422))
async def verify(body: VerifyRequest, service: ServiceDep, caller: Reader) -> Response:
    """Check each sentence of a text against passages or a collection."""
    pipeline = await service.pipeline()
    if (body.passages is None) == (body.collection is None):
        raise InvalidInput("give either passages or a collection to verify the text against, and not both")
    if body.collection is not None:
        name = body.collection
        await service.rows(lambda store: known_collection(store, caller, name))
    claims = await service.run(lambda: _check(pipeline, body))
    return Json(
        {
            "support": min(claim.support for claim in claims),
            "claims": [claim_json(claim) for claim in claims],
            "verifier": pipeline.models().verifier,
        }
    )


def _check(pipeline: Pipeline, body: VerifyRequest) -> tuple[Claim, ...]:
    if body.passages is not None:
        return check_given(pipeline, body.text, body.passages, body.question)
    return check_against(pipeline, body.text, body.collection or "", body.question)
