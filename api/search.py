"""POST /v1/search: a query in, the nearest passages out."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api import schemas
from api.access import Caller, known_collection
from api.deps import Reader, ServiceDep
from api.errors import Json
from rag.pipeline import Pipeline
from rag.types import Hit, InvalidInput
from rag.wire import hit_json

router = APIRouter()


@router.post(
    "/v1/search",
    response_model=schemas.SearchResponse,
    responses=schemas.errors(400, 404, 409, 422),
)
async def search(body: schemas.SearchRequest, service: ServiceDep, caller: Reader) -> Response:
    """Find the passages nearest to a query, by meaning and by words."""
    pipeline = await service.pipeline()
    check_query(body.query, pipeline.limits.max_question_chars)
    hits = await service.run(lambda: _search(pipeline, body, caller))
    return Json({"hits": [hit_json(hit) for hit in hits]})


def check_query(query: str, max_chars: int) -> None:
    """Raises InvalidInput for a query that is empty or longer than ``max_chars``."""
    if not query.strip():
        raise InvalidInput("the query is empty; search for something in words")
    if len(query) > max_chars:
        raise InvalidInput(f"the query has {len(query)} characters, at most {max_chars} are taken; shorten it")


def _search(pipeline: Pipeline, body: schemas.SearchRequest, caller: Caller) -> tuple[Hit, ...]:
    retriever = pipeline.retriever
    where = body.where.record() if body.where else None
    collection = known_collection(retriever.store, caller, body.collection)
    return retriever.search(body.query, collection, body.k, where=where)
