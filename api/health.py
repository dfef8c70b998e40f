"""GET /healthz: the process lives. GET /readyz: it can answer; else 503 with the cure. GET /metrics: its figures."""

from __future__ import annotations

import anyio.to_thread
from fastapi import APIRouter, Response

from api import schemas
from api.deps import Reader, ServiceDep
from api.errors import Json

router = APIRouter()


@router.get("/healthz", response_model=schemas.Health)
async def healthz() -> Response:
    """Whether the process lives: always 200."""
    return Json({"status": "ok"})


@router.get("/readyz", response_model=schemas.Readiness, responses=schemas.open_errors(500, 503))
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


@router.get(
    "/metrics",
    response_class=Response,
    responses=schemas.errors() | {200: {"description": "Figures.", "content": {"text/plain": {}}}},
)
async def metrics(service: ServiceDep, caller: Reader) -> Response:
    """Figures for Prometheus; a key of some collections only does not open them."""
    caller.require_all()
    text = await anyio.to_thread.run_sync(service.metrics.text)
    return Response(text, media_type="text/plain; version=0.0.4")
