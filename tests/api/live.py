"""Real servers for tests: the whole program as a process of its own, or an application over fakes on a real socket."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI

from tests.backend import variables
from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
START_S = 300.0


@dataclass(frozen=True, slots=True)
class Live:
    """A server that runs: where, with which HOME, and how to run other commands of the program on that HOME."""

    url: str
    home: Path
    process: subprocess.Popen[bytes]
    log: Path
    environment: dict[str, str]

    def command(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "answerable", *arguments],
            env=self.environment,
            cwd=self.home,
            check=True,
            capture_output=True,
            text=True,
            timeout=START_S,
        )
        return done.stdout


@contextmanager
def serve_process(models_home: Path, home: Path, **settings: str) -> Iterator[Live]:
    """`answerable serve` with the real models and its data in ``home``; killed at the end."""
    home.mkdir(exist_ok=True)
    if not (home / "models").exists():
        (home / "models").symlink_to(models_home / "models")
    environment = {
        **os.environ,
        "ANSWERABLE_HOME": str(home),
        **variables(home),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "2",
    }
    environment |= {f"ANSWERABLE_{name.upper()}": value for name, value in settings.items()}
    port, log = free_port(), home / "server.log"
    command = [sys.executable, "-m", "answerable", "serve", "--port", str(port)]
    with log.open("ab") as out, subprocess.Popen(command, env=environment, cwd=home, stderr=out) as process:
        live = Live(f"http://127.0.0.1:{port}", home, process, log, environment)
        try:
            _wait(live)
            yield live
        finally:
            process.send_signal(signal.SIGTERM)  # so that its worker goes too
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def serve_app(app: FastAPI, http: type | str = "auto") -> Iterator[str]:
    """``app`` on a real socket, in a thread; gives its address."""
    config = uvicorn.Config(app, host="127.0.0.1", port=free_port(), log_level="error", http=http)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_S
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{config.port}"
    finally:
        server.should_exit = True
        thread.join(20)


def wait_for_job(http: httpx.Client, job_id: str) -> dict[str, object]:
    """The job once it has ended."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        job: dict[str, object] = http.get(f"/v1/jobs/{job_id}").json()
        if job["status"] in ("done", "failed"):
            return job
        time.sleep(0.1)
    raise AssertionError(f"job {job_id} has not ended after {START_S} s")


def _wait(live: Live) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert live.process.poll() is None, live.log.read_text("utf-8")
        try:
            response = httpx.get(f"{live.url}/readyz", timeout=START_S)
        except httpx.TransportError:
            time.sleep(0.1)
            continue
        assert response.status_code == 200, response.text
        return
    raise AssertionError(f"not ready after {START_S} s")
