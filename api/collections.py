"""Collections over HTTP: list, make, delete with all that they hold."""

from __future__ import annotations

import shutil

from fastapi import APIRouter, Request, Response

from api import schemas
from api import schemas_service as s
from api.access import known_collection
from api.deps import Reader, ServiceDep, Writer
from api.errors import Exists, Json
from rag.store import Collection, Store

router = APIRouter()


@router.get("/v1/collections", response_model=s.CollectionList, responses=schemas.errors(400))
async def list_collections(service: ServiceDep, caller: Reader) -> Response:
    """The collections that the caller may use, by name."""
    found, counts = await service.rows(lambda store: (store.collections.all(), store.documents.counts()))
    shown = [_shown(row, counts.get(row.name, (0, 0))) for row in found if caller.opens(row.name)]
    return Json({"collections": shown})


@router.post(
    "/v1/collections", status_code=201, response_model=s.CollectionInfo, responses=schemas.errors(400, 409, 422)
)
async def make_collection(body: s.NewCollection, request: Request, service: ServiceDep, caller: Writer) -> Response:
    """Make an empty collection; an upload makes its own, so this is needed only for one that should be empty."""
    caller.require_collection(body.name)
    encoder = (await service.pipeline()).retriever.encoder

    def make(store: Store) -> Collection:
        if body.name in {row.name for row in store.collections.all()}:
            raise Exists(f"collection {body.name!r} is there already")
        return store.collections.ensure(body.name, encoder.fingerprint, encoder.dimension)

    row = await service.rows(make)
    request.state.target = body.name
    return Json(_shown(row, (0, 0)), 201)


@router.delete("/v1/collections/{name}", response_model=s.Deleted, responses=schemas.errors(400, 404, 422))
async def delete_collection(name: s.CollectionPath, request: Request, service: ServiceDep, caller: Writer) -> Response:
    """Delete a collection, its documents, its index and the files that were uploaded into it."""
    index = (await service.pipeline()).retriever.index

    def delete(store: Store) -> None:
        row = known_collection(store, caller, name)
        store.collections.delete(name)
        index.drop(row)
        shutil.rmtree(service.settings.uploads_folder / name, ignore_errors=True)

    await service.rows(delete)
    request.state.target = name
    return Json({"deleted": name})


def _shown(row: Collection, counts: tuple[int, int]) -> dict[str, object]:
    return {"name": row.name, "encoder": row.encoder, "documents": counts[0], "chunks": counts[1]}
