"""Throughput, waiting times and memory of a running server under many clients; and the same during an ingest.

    python -m benchmarks.load http://127.0.0.1:8080 --clients 1 4 16 64 --seconds 120 --file QA.jsonl.gz --rows 1500
    python -m benchmarks.load http://127.0.0.1:8080 --clients 16 --seconds 120 --ingest 500 --file ... --rows ...
    python -m benchmarks.load http://127.0.0.1:8080 --soak 5000 --clients 8 --pid PID --file ... --rows ...

With --file the passages of the first --rows rows of a qa file are uploaded into the collection "load" and those rows'
questions are asked, in a fixed shuffled order that goes on from level to level: none comes again before all were asked,
and each level says how many it asked and how many of those the server had been asked before. Without it they are the
questions of eval/golden over examples/, which must be ingested then; they are few and soon come again, and what comes
again costs the server less. Without --pid no memory is told. A 429 is waited out as its Retry-After says and counted;
any other error is counted as one and fails the run.

During an ingest a level lasts until all files are in, and at least one answer each client.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from answerable_client import Client, ServerError, Unreachable
from benchmarks.memory import Memory
from rag.datafiles import read_qa

COLLECTION, INGESTED = "load", "load-ingest"
FILES_A_REQUEST = 100
GOLDEN = Path(__file__).resolve().parent.parent / "eval" / "golden" / "examples.jsonl"


@dataclass
class Tally:
    """What the clients of one level saw; times in seconds."""

    answered: int = 0
    repeated: int = 0  # of the questions asked, those that were asked before in this run
    busy: int = 0
    errors: list[str] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    tokens: list[tuple[int, int]] = field(default_factory=list)  # read and written, an answer
    lock: threading.Lock = field(default_factory=threading.Lock)

    def row(self, clients: int, seconds: float) -> dict[str, Any]:
        """The level's figures."""
        row: dict[str, Any] = {"clients": clients, "answers_per_s": round(self.answered / seconds, 3)}
        row |= {"answered": self.answered, "asked_before": self.repeated, "busy_429": self.busy}
        row |= {"errors": len(self.errors)}
        for name, times in (("first_word", self.first), ("answer", self.whole)):
            if times:
                row |= {f"{name}_s_p{p}": round(float(np.percentile(times, p)), 3) for p in (50, 95)}
        if self.tokens:
            read, written = np.mean(self.tokens, axis=0)
            row |= {"tokens_read": round(float(read)), "tokens_written": round(float(written), 1)}
        return row


class Questions:
    """The questions of a run, in a fixed shuffled order, handed out one by one to any number of clients."""

    def __init__(self, texts: Sequence[str], collection: str):
        self.collection = collection
        self._texts = list(dict.fromkeys(texts))
        random.Random(0).shuffle(self._texts)
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._texts)

    def next(self) -> tuple[str, bool]:
        """A question, and whether it was handed out before."""
        with self._lock:
            number = next(self._numbers)
        return self._texts[number % len(self._texts)], number >= len(self._texts)


def golden_questions() -> list[str]:
    """The questions of eval/golden over examples/, in a fixed shuffled order."""
    texts = [row.question for row in read_qa(GOLDEN)]
    random.Random(0).shuffle(texts)
    return texts


def load_questions(url: str, key: str | None, file: Path | None, rows: int) -> Questions:
    """The golden questions; or those of a qa file, whose passages are uploaded first."""
    if file is None:
        return Questions(golden_questions(), "default")
    chosen = read_qa(file, rows)
    texts = dict.fromkeys(f"{one.title}\n\n{one.text}" for row in chosen for one in row.passages)
    wait_for(url, key, upload(url, key, list(texts), COLLECTION))
    return Questions([row.question for row in chosen], COLLECTION)


def one_client(url: str, key: str | None, questions: Questions, until: Until, tally: Tally) -> None:
    """Ask one question after the other until the time or the count is up, or what is waited for is done."""
    with Client(url, key) as client:
        while until.more():
            question, again = questions.next()
            with tally.lock:
                tally.repeated += again
            ask(client, question, questions.collection, tally)


def ask(client: Client, question: str, collection: str, tally: Tally) -> None:
    """Ask once, as events, and note the times."""
    started, first, usage = time.perf_counter(), None, None
    try:
        for event in client.ask_events(question, collection):
            if first is None and event.token is not None:
                first = time.perf_counter() - started
            if event.answer is not None:
                usage = event.answer.usage
    except ServerError as error:
        with tally.lock:
            if error.status != 429:
                tally.errors.append(f"{error.status} {error}")
            tally.busy += error.status == 429
        if error.status == 429:
            time.sleep(error.retry_after or 1)
        return
    except Unreachable as error:
        with tally.lock:
            tally.errors.append(str(error))
        time.sleep(1)
        return
    with tally.lock:
        tally.answered += 1
        tally.whole.append(time.perf_counter() - started)
        if first is not None:
            tally.first.append(first)
        if usage is not None:
            tally.tokens.append((usage.prompt_tokens, usage.completion_tokens))


class Until:
    """Goes on for ``seconds``, or for ``count`` questions in all, or until ``done`` says so."""

    def __init__(self, seconds: float = 0, count: int = 0, done: Callable[[], bool] | None = None):
        self._end = time.monotonic() + seconds if seconds else None
        self._left = count
        self._done = done
        self._lock = threading.Lock()

    def more(self) -> bool:
        """Whether another question should be asked."""
        if self._done is not None:
            return not self._done()
        if self._end is not None:
            return time.monotonic() < self._end
        with self._lock:
            self._left -= 1
            return self._left >= 0


def level(url: str, key: str | None, clients: int, until: Until, questions: Questions) -> dict[str, Any]:
    """One level: so many clients side by side."""
    tally, started = Tally(), time.monotonic()
    given = (url, key, questions, until, tally)
    threads = [threading.Thread(target=one_client, args=given) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for line in sorted(set(tally.errors))[:5]:
        print("error:", line)
    return tally.row(clients, time.monotonic() - started)


def upload(url: str, key: str | None, texts: Sequence[str], collection: str) -> list[str]:
    """Send each text as a file of its own; gives the jobs' ids."""
    jobs = []
    for first in range(0, len(texts), FILES_A_REQUEST):
        some = enumerate(texts[first : first + FILES_A_REQUEST], start=first)
        parts = [("files", (f"load-{number}.txt", io.BytesIO(text.encode()))) for number, text in some]
        sent = httpx.post(
            f"{url}/v1/documents", files=parts, data={"collection": collection}, headers=headers(key), timeout=120
        )
        sent.raise_for_status()
        jobs.append(str(sent.json()["id"]))
    return jobs


def empty(url: str, key: str | None, collection: str) -> None:
    """Delete a collection of an earlier level or run: files that the server has are not read again."""
    gone = httpx.delete(f"{url}/v1/collections/{collection}", headers=headers(key), timeout=120)
    if gone.status_code != httpx.codes.NOT_FOUND:
        gone.raise_for_status()


def headers(key: str | None) -> dict[str, str]:
    """What a request needs to be let in."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def pages(count: int) -> list[str]:
    """Texts of two pages each, none like another."""
    text = "The meeting of group {n} began at nine. Its minutes were kept by the clerk of room {n}. "
    return [text.format(n=n) * 60 for n in range(count)]


def wait_for(url: str, key: str | None, jobs: Sequence[str]) -> None:
    """Until all of the jobs have ended. Raises RuntimeError for one that failed."""
    for job in jobs:
        while (status := job_status(url, key, job)) not in ("done", "failed"):
            time.sleep(0.5)
        if status == "failed":
            raise RuntimeError(f"upload {job} failed: see {url}/v1/jobs/{job}")


def job_status(url: str, key: str | None, job: str) -> str:
    """The job's status; "running" while the server has no time to say."""
    told = httpx.get(f"{url}/v1/jobs/{job}", headers=headers(key), timeout=120)
    return str(told.json()["status"]) if told.is_success else "running"


def while_ingesting(url: str, key: str | None, clients: int, files: int, questions: Questions) -> dict[str, Any]:
    """A level that lasts as long as the server reads ``files`` uploaded files, none of which it has."""
    empty(url, key, INGESTED)
    jobs, started, ended = upload(url, key, pages(files), INGESTED), time.monotonic(), threading.Event()

    def watch() -> None:
        try:
            wait_for(url, key, jobs)
        finally:
            ended.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    asked = threading.Semaphore(clients)  # one question each in any case

    def done() -> bool:
        return ended.is_set() and not asked.acquire(blocking=False)

    row = level(url, key, clients, Until(done=done), questions)
    watcher.join()
    return row | {"ingest": files, "ingest_s": round(time.monotonic() - started, 1)}


def soak(given: argparse.Namespace, questions: Questions) -> list[dict[str, Any]]:
    """Ask so many questions in ten parts and note the server's memory during each; the first part warms up."""
    rows = []
    for part in range(10):
        with Memory(given.pid) as memory:
            row = level(given.url, given.key, given.clients[0], Until(count=given.soak // 10), questions)
        row |= {"part": part} | memory.row()
        print(json.dumps(row), flush=True)
        rows.append(row)
    if given.pid:
        for name, first in (("rss_mb_mean", 1), ("rss_mb_end", 0)):  # the mean of the first part is one of warming up
            growth = rows[-1][name] / rows[first][name] - 1
            print(json.dumps({f"growth_after_warm_up_of_{name}": round(growth, 4)}))
    return rows


def levels(given: argparse.Namespace, questions: Questions) -> list[dict[str, Any]]:
    """Each number of clients, and again during an ingest where one is asked for."""
    rows: list[dict[str, Any]] = []
    for clients in given.clients:
        alone = level(given.url, given.key, clients, Until(given.seconds), questions)
        print(json.dumps(alone), flush=True)
        rows.append(alone)
        if given.ingest:
            beside = while_ingesting(given.url, given.key, clients, given.ingest, questions)
            beside["slower_p95"] = round(beside["answer_s_p95"] / alone["answer_s_p95"], 2)
            print(json.dumps(beside), flush=True)
            rows.append(beside)
    return rows


def main() -> None:
    """Run the levels, or the soak, and print one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--key")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--file", type=Path, help="a qa file: its passages are uploaded, its questions asked")
    parser.add_argument("--rows", type=int, default=1500, help="rows of the file")
    parser.add_argument("--ingest", type=int, default=0, help="files to ingest while the second run of a level goes")
    parser.add_argument("--soak", type=int, default=0, help="questions to ask in all")
    parser.add_argument("--pid", type=int, default=0, help="the server's process, for its memory")
    given = parser.parse_args()
    questions = load_questions(given.url, given.key, given.file, given.rows)
    print(json.dumps({"different_questions": len(questions)}), flush=True)
    rows = soak(given, questions) if given.soak else levels(given, questions)
    raise SystemExit(any(row["errors"] for row in rows))


if __name__ == "__main__":
    main()
