"""Throughput, waiting times and memory of a running server under many clients; and the same during an ingest.

    python -m benchmarks.load http://127.0.0.1:8080 --clients 1 4 16 64 --seconds 120
    python -m benchmarks.load http://127.0.0.1:8080 --clients 16 --seconds 120 --ingest 500
    python -m benchmarks.load http://127.0.0.1:8080 --soak 5000 --clients 8 --pid PID

Questions are mixed: those of eval/golden over examples/, answerable or not, in a fixed shuffled order; ingest examples/
first. A 429 is waited out as its Retry-After says and counted; any other error is counted as one and fails the run.
"""

from __future__ import annotations

import argparse
import json
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from answerable_client import Client, ServerError, Unreachable

GOLDEN = Path(__file__).resolve().parent.parent / "eval" / "golden" / "examples.jsonl"


@dataclass
class Tally:
    """What the clients of one level saw; times in seconds."""

    answered: int = 0
    busy: int = 0
    errors: list[str] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def row(self, clients: int, seconds: float) -> dict[str, Any]:
        """The level's figures."""
        row: dict[str, Any] = {"clients": clients, "answers_per_s": round(self.answered / seconds, 3)}
        row |= {"answered": self.answered, "busy_429": self.busy, "errors": len(self.errors)}
        for name, times in (("first_word", self.first), ("answer", self.whole)):
            if times:
                row |= {f"{name}_s_p{p}": round(float(np.percentile(times, p)), 3) for p in (50, 95)}
        return row


def questions() -> list[str]:
    """The golden questions in a fixed shuffled order."""
    rows = [json.loads(line) for line in GOLDEN.read_text("utf-8").splitlines() if line.strip()]
    texts = [row["question"] for row in rows]
    random.Random(0).shuffle(texts)
    return texts


def one_client(url: str, key: str | None, number: int, until: Until, tally: Tally) -> None:
    """Ask one question after the other until the time or the count is up."""
    texts = questions()
    with Client(url, key) as client:
        while until.more():
            number += 1
            ask(client, texts[number * 7 % len(texts)], tally)


def ask(client: Client, question: str, tally: Tally) -> None:
    """Ask once, as events, and note the times."""
    started, first = time.perf_counter(), None
    try:
        for event in client.ask_events(question):
            if first is None and event.token is not None:
                first = time.perf_counter() - started
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


class Until:
    """Goes on for ``seconds``, or for ``count`` questions in all."""

    def __init__(self, seconds: float, count: int):
        self._end = time.monotonic() + seconds if seconds else None
        self._left = count
        self._lock = threading.Lock()

    def more(self) -> bool:
        """Whether another question should be asked."""
        if self._end is not None:
            return time.monotonic() < self._end
        with self._lock:
            self._left -= 1
            return self._left >= 0


def level(url: str, key: str | None, clients: int, until: Until) -> dict[str, Any]:
    """One level: so many clients side by side."""
    tally, started = Tally(), time.monotonic()
    threads = [threading.Thread(target=one_client, args=(url, key, number, until, tally)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for line in sorted(set(tally.errors))[:5]:
        print("error:", line)
    return tally.row(clients, time.monotonic() - started)


def upload(url: str, key: str | None, files: int) -> str:
    """Send so many files of two pages each into a collection of their own; gives the job's id."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    job = ""
    for first in range(0, files, 100):
        text = "The meeting of group {n} began at nine. Its minutes were kept by the clerk of room {n}. "
        parts = [
            ("files", (f"load-{n}.txt", (text.format(n=n) * 60).encode()))
            for n in range(first, min(files, first + 100))
        ]
        sent = httpx.post(f"{url}/v1/documents", files=parts, data={"collection": "load"}, headers=headers, timeout=120)
        sent.raise_for_status()
        job = sent.json()["id"]
    return job


def resident_mb(pid: int) -> float:
    """Memory of a process, in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def soak(url: str, key: str | None, clients: int, count: int, pid: int) -> list[dict[str, Any]]:
    """Ask ``count`` questions in ten parts and note the server's memory after each; the first part warms up."""
    rows = []
    for part in range(10):
        row = level(url, key, clients, Until(0, count // 10)) | {"part": part, "rss_mb": round(resident_mb(pid), 1)}
        print(json.dumps(row), flush=True)
        rows.append(row)
    growth = rows[-1]["rss_mb"] / rows[0]["rss_mb"] - 1
    print(json.dumps({"growth_after_warm_up": round(growth, 4)}))
    return rows


def main() -> None:
    """Run the levels, or the soak, and print one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--key")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--ingest", type=int, default=0, help="files to ingest while the second run of a level goes")
    parser.add_argument("--soak", type=int, default=0, help="questions to ask in all")
    parser.add_argument("--pid", type=int, default=0, help="the server's process, for its memory")
    given = parser.parse_args()
    if given.soak:
        rows = soak(given.url, given.key, given.clients[0], given.soak, given.pid)
    else:
        rows = []
        for clients in given.clients:
            rows.append(level(given.url, given.key, clients, Until(given.seconds, 0)))
            print(json.dumps(rows[-1]), flush=True)
            if given.ingest:
                job = upload(given.url, given.key, given.ingest)
                rows.append(level(given.url, given.key, clients, Until(given.seconds, 0)) | {"ingest": given.ingest})
                rows[-1]["slower_p95"] = round(rows[-1]["answer_s_p95"] / rows[-2]["answer_s_p95"], 2)
                print(json.dumps(rows[-1] | {"job": job}), flush=True)
    raise SystemExit(any(row["errors"] for row in rows))


if __name__ == "__main__":
    main()
