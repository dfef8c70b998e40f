"""GET /healthz: the process lives. GET /readyz: it can answer; otherwise 503 with what is missing and the cure."""

from __future__ import annotations

import anyio.to_thread
from fastapi import APIRouter, Response

from api import schemas
from api.deps import ServiceDep
from api.errors import Json

router = APIRouter()


@router.get("/healthz", response_model=schemas.Health)
async def healthz() -> Response:
    """Whether the process lives: always 200."""
    return Json({"status": "ok"})


@router.get("/readyz", response_model=schemas.Readiness, responses=schemas.errors(503))
async def readyz(service: ServiceDep) -> Response:
    """Whether models are loaded and the database answers."""
    pipeline = await service.pipeline()
    await anyio.to_thread.run_sync(pipeline.retriever.store.chunks.seq)
    encoder, generator, verifier = pipeline.retriever.encoder, pipeline.generator, pipeline.verifier
    models = {
        "retriever": f"{encoder.name}@{encoder.fingerprint}",
        "generator": f"{generator.name}@{generator.fingerprint}",
        "verifier": f"{verifier.name}@{verifier.fingerprint}",
    }
    return Json({"status": "ready", "models": models})
