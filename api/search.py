"""POST /v1/search: a query in, the nearest passages out."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api import schemas
from api.deps import ServiceDep
from api.errors import Json
from rag.pipeline import Pipeline
from rag.types import Hit, InvalidInput
from rag.wire import hit_json

router = APIRouter()


@router.post(
    "/v1/search",
    response_model=schemas.SearchResponse,
    responses=schemas.errors(400, 404, 409, 413, 422, 429, 500, 503),
)
async def search(body: schemas.SearchRequest, service: ServiceDep) -> Response:
    """Find the passages nearest to a query, by meaning and by words."""
    pipeline = await service.pipeline()
    check_query(body.query, pipeline.limits.max_question_chars)
    hits = await service.run(lambda: _search(pipeline, body))
    return Json({"hits": [hit_json(hit) for hit in hits]})


def check_query(query: str, max_chars: int) -> None:
    """Raises InvalidInput for a query that is empty or longer than ``max_chars``."""
    if not query.strip():
        raise InvalidInput("the query is empty; search for something in words")
    if len(query) > max_chars:
        raise InvalidInput(f"the query has {len(query)} characters, at most {max_chars} are taken; shorten it")


def _search(pipeline: Pipeline, body: schemas.SearchRequest) -> tuple[Hit, ...]:
    retriever = pipeline.retriever
    where = body.where.record() if body.where else None
    return retriever.search(body.query, retriever.store.collections.get(body.collection), body.k, where=where)
