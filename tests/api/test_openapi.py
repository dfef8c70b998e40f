"""schemathesis, every check, over all of OpenAPI, on a real socket: no 5xx, no status that is not documented."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.app import create_app
from api.server import PatientProtocol
from rag.store import Store
from tests.api.client import LEAVE, settings_for
from tests.api.live import serve_app
from tests.backend import database_url
from tests.fakes import Shelf

pytest.importorskip("schemathesis")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

EXAMPLES = os.environ.get("ANSWERABLE_TEST_EXAMPLES", "30")  # a route; more for a long run


# What a schema cannot say: that a name must have a known ending, that a conversation must end with a
# question, that a text to be checked holds a letter or a digit of some script.
CONFIG = """
[[operations]]
include-name = "POST /v1/documents"
checks.positive_data_acceptance.enabled = false
[[operations]]
include-name = "POST /v1/verify"
checks.positive_data_acceptance.enabled = false
[[operations]]
include-name = "POST /v1/chat/completions"
checks.positive_data_acceptance.enabled = false
"""
# Without a key made, none is asked for, so leaving it out is no fault: the runs with keys make these checks.
OPEN = ["--exclude-checks", "ignored_auth,missing_required_header,negative_data_rejection"]


def schemathesis(url: str, where: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"]  # with all checks
    command += ["--max-examples", EXAMPLES, "--seed", "1", "--request-timeout", "60", "--suppress-health-check", "all"]
    command += ["--generation-database", "none", "--continue-on-failure", "--no-color", *more]
    (where / "schemathesis.toml").write_text(CONFIG)
    return subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=1400)


@pytest.mark.parametrize("who", ["anyone", "admin", "nobody"])
def test_the_whole_interface_keeps_its_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    monkeypatch.setattr(
        "api.worker.Workers._ensure", lambda _self: None
    )  # what it sends is not to be read as documents
    home = tmp_path / "home"
    home.mkdir()
    shelf = Shelf.open(home)
    shelf.put(LEAVE)
    more = list(OPEN) if who == "anyone" else []
    if who != "anyone":
        secret = Store.open(database_url(home)).keys.create("fuzz", "admin")[1]
        more += ["--header", f"Authorization: Bearer {secret}"] if who == "admin" else []
    settings = settings_for(home, rate_per_minute=1_000_000)
    with serve_app(create_app(settings, lambda _settings: shelf.pipeline()), PatientProtocol) as url:
        done = schemathesis(url, tmp_path, *more)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
