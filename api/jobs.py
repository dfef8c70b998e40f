"""GET /v1/jobs and /v1/jobs/{id}: how uploads are doing."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api import schemas
from api import schemas_service as s
from api.deps import Reader, ServiceDep
from api.errors import Json
from rag.types import NotFound

router = APIRouter()


@router.get("/v1/jobs", response_model=s.JobList, responses=schemas.errors(400, 422))
async def list_jobs(service: ServiceDep, caller: Reader, limit: s.Limit = 50) -> Response:
    """Uploads, newest first."""
    jobs = await service.rows(lambda store: store.jobs.latest(caller.collections, limit))
    return Json({"jobs": [s.job_json(job) for job in jobs]})


@router.get("/v1/jobs/{job_id}", response_model=s.JobState, responses=schemas.errors(400, 404, 422))
async def get_job(job_id: s.Id, service: ServiceDep, caller: Reader) -> Response:
    """One upload."""
    job = await service.rows(lambda store: store.jobs.get(job_id))
    if not caller.opens(job.collection):
        raise NotFound(f"job {job_id!r} does not exist")
    return Json(s.job_json(job))
