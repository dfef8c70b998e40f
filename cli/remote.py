"""The commands that can ask a running server instead of this machine's own data: --server URL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from answerable_client import Answer, Client, Hit, Job, ServerError, Unreachable
from cli import show
from cli.common import err, out, print_json, progress_bar
from ingest.discover import discover
from ingest.run import Failure, IngestReport
from rag import types
from rag.types import AnswerableError, InvalidInput

_FILES_AT_ONCE = 50
_BYTES_AT_ONCE = 50_000_000


class RemoteError(AnswerableError):
    """The server said no, or nothing."""

    code = "remote"


@contextmanager
def connected(url: str) -> Iterator[Client]:
    """A client of the server at ``url``. Raises RemoteError in place of the client's own errors."""
    try:
        with Client(url, os.environ.get("ANSWERABLE_API_KEY")) as client:
            yield client
    except ServerError as error:
        raise RemoteError(f"{url}: {error}") from error
    except Unreachable as error:
        raise RemoteError(f"no answer from {error}; is the server running there?") from error


def ask(url: str, question: str, collection: str, top_k: int | None, stream: bool, as_json: bool) -> None:
    """Ask a server and show its answer."""
    with connected(url) as client:
        if stream and not as_json:
            answer = _stream(client, question, collection, top_k)
        else:
            answer = client.ask(question, collection, top_k=top_k)
    if as_json:
        print_json(answer.model_dump())
    else:
        show.answer(out(), answer_record(answer))


def search(url: str, query: str, collection: str, k: int, as_json: bool) -> None:
    """Search on a server and show what was found."""
    with connected(url) as client:
        hits = client.search(query, collection, k)
    if as_json:
        print_json({"hits": [hit.model_dump() for hit in hits]})
    else:
        show.hits(out(), tuple(map(_hit, hits)))


def ingest(url: str, paths: list[Path], collection: str, as_json: bool) -> IngestReport:
    """Upload files and folders to a server and wait until they are read; shows and returns the report of all."""
    found = list(discover(paths))
    skipped = tuple(Failure(one.uri, one.skipped) for one in found if one.skipped)
    files = [one.path for one in found if not one.skipped]
    names = [path.name for path in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInput(f"two files are named {twice[0]!r}; a server tells uploads apart by their names: rename one")
    with connected(url) as client, progress_bar("uploading") as step:
        ended = []
        for batch in _batches(files):
            ended.append(client.wait(client.upload(batch, collection)))
            step(sum(job.total for job in ended), len(files))
    report = _report(ended, skipped)
    if as_json:
        print_json(_report_json(report))
    else:
        show.report(out(), report)
    return report


def _stream(client: Client, question: str, collection: str, top_k: int | None) -> Answer:
    console = out()
    for event in client.ask_events(question, collection, top_k=top_k):
        if event.token is not None:
            console.print(event.token, end="", markup=False, style="dim")
        elif event.answer is not None:
            console.print()
            return event.answer
    raise RemoteError("the server's stream ended before its answer; ask again")


def _batches(files: list[Path]) -> Iterator[list[Path]]:
    batch: list[Path] = []
    for path in files:
        if batch and (len(batch) == _FILES_AT_ONCE or sum(map(_size, [*batch, path])) > _BYTES_AT_ONCE):
            yield batch
            batch = []
        batch.append(path)
    if batch:
        yield batch


def _size(path: Path) -> int:
    return path.stat().st_size


def _report(jobs: list[Job], skipped: tuple[Failure, ...]) -> IngestReport:
    for job in jobs:
        if job.error:
            err().print(job.error, markup=False)
    lost = tuple(Failure(name, job.error) for job in jobs if job.error for name in job.files)
    failed = tuple(Failure(one["uri"], one["reason"]) for job in jobs for one in job.report.get("failed", ()))

    def total(name: str) -> Any:
        return sum(job.report.get(name, 0) for job in jobs)

    return IngestReport(
        added=total("added"),
        changed=total("changed"),
        unchanged=total("unchanged"),
        skipped=skipped,
        failed=failed + lost,
        chunks=total("chunks"),
        seconds=total("seconds"),
    )


def _report_json(report: IngestReport) -> dict[str, Any]:
    return asdict(report) | {"skipped": len(report.skipped)}


def answer_record(answer: Answer) -> types.Answer:
    """A server's answer as the record that the rest of the program speaks."""
    return types.Answer(
        id=answer.id,
        question=answer.question,
        answer=answer.answer,
        abstained=answer.abstained,
        reason=answer.reason,
        support=answer.support,
        unanswerable=answer.unanswerable,
        claims=tuple(
            types.Claim(
                claim.text,
                claim.start,
                claim.end,
                claim.support,
                types.Verdict(claim.verdict),
                tuple(types.Citation(**citation.model_dump()) for citation in claim.citations),
            )
            for claim in answer.claims
        ),
        passages=tuple(map(_hit, answer.passages)),
        usage=types.Usage(**answer.usage.model_dump()),
        timings_ms=types.Timings(**answer.timings_ms.model_dump()),
        models=types.ModelNames(**answer.models.model_dump()),
    )


def _hit(hit: Hit) -> types.Hit:
    passage = types.Passage(0, hit.document_id, hit.title, hit.uri, hit.start, hit.end, hit.quote, page=hit.page)
    return types.Hit(passage, hit.score)
