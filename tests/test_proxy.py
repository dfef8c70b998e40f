"""deploy/nginx.conf in a real nginx before two real servers: it spreads, streams, and goes round a dead one."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from tests.api.client import LEAVE, settings_for
from tests.api.live import serve_app
from tests.fakes import HookedGenerator, Shelf
from tests.servers import free_port

ROOT = Path(__file__).resolve().parent.parent
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
ASK = {"question": "How many days of annual leave does every employee have?", "stream": True}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed; .ci/run brings Debian's"),
]


@contextmanager
def proxy(servers: list[str], home: Path) -> Iterator[str]:
    """nginx with our file; only addresses are put in place of names that Docker would look up, and the port."""
    port, text = free_port(), (ROOT / "deploy" / "nginx.conf").read_text("utf-8")
    named = "".join(f"server {server.removeprefix('http://')};" for server in servers)
    for old, new in {
        "listen 8080;": f"listen 127.0.0.1:{port};",
        "http://api-scaled:8080": "http://both",
        "    server {": f"    upstream both {{ {named} }}\n    server {{",
        "/tmp/": f"{home}/",
    }.items():
        assert old in text
        text = text.replace(old, new, -1 if old == "/tmp/" else 1)
    (home / "nginx.conf").write_text(text)
    assert NGINX
    command = [NGINX, "-c", str(home / "nginx.conf"), "-g", "daemon off;"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while True:
            assert process.poll() is None and time.monotonic() < until
            try:
                assert httpx.get(f"http://127.0.0.1:{port}/proxy-healthz").status_code == 204
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def server(home: Path, pause_s: float = 0.0) -> Iterator[str]:
    home.mkdir()
    shelf = Shelf.open(home)
    shelf.put(LEAVE)
    slow = HookedGenerator(lambda _number: time.sleep(pause_s))
    with serve_app(create_app(settings_for(home), lambda _settings: shelf.pipeline(slow))) as url:
        yield url


def requests_of(url: str) -> int:
    text = httpx.get(f"{url}/metrics").text
    return sum(int(float(n)) for n in re.findall(r'answerable_requests_total\{.*route="/healthz".*\} (\S+)', text))


def test_it_spreads_streams_and_goes_round_a_dead_server(tmp_path: Path) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(server(tmp_path / "one", 0.1))
        dying = ExitStack()
        second = dying.enter_context(server(tmp_path / "two", 0.1))
        url = stack.enter_context(proxy([first, second], tmp_path))
        assert all(httpx.get(f"{url}/healthz").status_code == 200 for _ in range(10))
        assert requests_of(first) >= 4 and requests_of(second) >= 4
        with httpx.stream("POST", f"{url}/v1/ask", json=ASK, timeout=30) as response:
            words = [time.monotonic() for line in response.iter_lines() if line == "event: token"]
        assert len(words) > 3 and words[-1] - words[0] > 0.25  # they came as they were written
        too_long = httpx.post(f"{url}/v1/ask", json={"question": "why " * 3000})
        assert too_long.status_code == 422 and too_long.json()["error"]["code"] == "invalid_input"
        dying.close()
        assert all(httpx.get(f"{url}/healthz", timeout=10).status_code == 200 for _ in range(10))
