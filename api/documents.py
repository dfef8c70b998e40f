"""Documents over HTTP: upload (202 and a job), list, read, page pictures, delete."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, Response, UploadFile
from fastapi import Path as InPath

from api import schemas
from api import schemas_service as s
from api.access import Caller, known_collection
from api.deps import Reader, Service, ServiceDep, Writer
from api.errors import Json
from ingest.readers.pdf_picture import page_picture
from ingest.uploads import check_name, forget, staging
from rag.store import Job, Store, StoredDocument
from rag.types import InvalidInput, NotFound

router = APIRouter()

MAX_FILES = 200  # of one request
_UPLOAD_EXAMPLE = {"multipart/form-data": {"encoding": {"files": {"contentType": "application/octet-stream"}}}}
_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The page.", "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
}


@router.post(
    "/v1/documents",
    status_code=202,
    response_model=s.JobState,
    responses=schemas.errors(400, 422),
    openapi_extra={"requestBody": {"content": _UPLOAD_EXAMPLE}},
)
async def upload(
    request: Request,
    service: ServiceDep,
    caller: Writer,
    files: Annotated[list[UploadFile], File(max_length=MAX_FILES, description="files to read")],
    collection: Annotated[s.NewName, Form()] = "default",
) -> Response:
    """Take files to be read into a collection, in place of older ones of the same names; the job tells how it goes."""
    caller.require_collection(collection)
    names = [check_name(file.filename or "") for file in files]
    if len(set(names)) < len(names):
        raise InvalidInput("two files have the same name; send each once")
    job = await service.rows(lambda store: _take(store, service, collection, files))
    request.state.target = f"{collection}: {len(names)} files"
    service.workers.nudge()
    return Json(s.job_json(job), 202, {"Location": f"/v1/jobs/{job.id}"})


@router.get("/v1/documents", response_model=s.Documents, responses=schemas.errors(400, 404, 422))
async def list_documents(
    service: ServiceDep,
    caller: Reader,
    collection: s.CollectionQuery = "default",
    limit: s.Limit = 100,
    offset: s.Offset = 0,
) -> Response:
    """The documents of a collection, by uri."""

    def read(store: Store) -> tuple[tuple[StoredDocument, ...], int]:
        found = known_collection(store, caller, collection)
        return store.documents.all(found, limit, offset), store.documents.counts().get(collection, (0, 0))[0]

    rows, total = await service.rows(read)
    return Json({"documents": [s.document_json(row) for row in rows], "total": total})


@router.get("/v1/documents/{document_id}", response_model=s.DocumentText, responses=schemas.errors(400, 404, 422))
async def get_document(document_id: s.Id, service: ServiceDep, caller: Reader) -> Response:
    """A document with its text."""
    collection, row = await service.rows(lambda store: _find(store, caller, document_id))
    spans = [{"number": page.number, "start": page.start, "end": page.end} for page in row.pages]
    return Json(s.document_json(row) | {"collection": collection, "text": row.text, "page_spans": spans})


@router.get(
    "/v1/documents/{document_id}/pages/{number}",
    response_class=Response,
    responses=schemas.errors(400, 404, 422) | _PICTURE,
)
async def get_page(
    document_id: s.Id,
    number: Annotated[int, InPath(ge=1, le=100_000, description="page, counted from 1")],
    service: ServiceDep,
    caller: Reader,
    start: s.Offset = 0,
    end: s.Offset = 0,
) -> Response:
    """A page of a PDF as a picture, the characters [start, end) of the document marked on it."""
    _, row = await service.rows(lambda store: _find(store, caller, document_id))
    if number not in {page.number for page in row.pages}:
        raise NotFound(f"document {document_id!r} has no page {number}")
    picture = await service.run(lambda: page_picture(Path(row.uri), row.content_hash, number, row.text[start:end]))
    headers = {} if picture.top is None else {"X-Mark-Top": f"{picture.top:.4f}"}  # where a reader should look
    return Response(picture.png, media_type="image/png", headers=headers)


@router.delete("/v1/documents/{document_id}", response_model=s.Deleted, responses=schemas.errors(400, 404, 422))
async def delete_document(document_id: s.Id, request: Request, service: ServiceDep, caller: Writer) -> Response:
    """Delete a document: it is gone from every search and answer at once."""

    def delete(store: Store) -> None:
        _, row = _find(store, caller, document_id)
        store.documents.delete(document_id)
        forget(service.settings.uploads_folder, row.uri)

    await service.rows(delete)
    request.state.target = document_id
    return Json({"deleted": document_id})


def _find(store: Store, caller: Caller, document_id: str) -> tuple[str, StoredDocument]:
    """The document and its collection's name; one of a collection that the key does not open is not there."""
    collection = store.documents.collection_of(document_id)
    if not caller.opens(collection):
        raise NotFound(f"document {document_id!r} does not exist; list them with: answerable documents list")
    return collection, store.documents.get(document_id)


def _take(store: Store, service: Service, collection: str, files: list[UploadFile]) -> Job:
    """Put the files where the worker finds them, then queue the job: a row never names files that are not there."""
    job_id = uuid.uuid4().hex
    folder = staging(service.settings.uploads_folder, job_id)
    folder.mkdir(parents=True)
    try:
        for file in files:
            with (folder / check_name(file.filename or "")).open("xb") as out:
                shutil.copyfileobj(file.file, out)
        return store.jobs.add(collection, [file.filename or "" for file in files], job_id)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
