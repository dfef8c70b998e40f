"""What Dockerfile, compose.yaml and .dockerignore promise, by reading them: no container engine is needed."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from rag.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]["api"])


@pytest.fixture(scope="module")
def stages() -> list[list[str]]:
    """The instructions of each stage of the Dockerfile, continuation lines joined, comments left out."""
    lines = [line for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines() if not line.startswith("#")]
    instructions = [line for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines() if line.strip()]
    found: list[list[str]] = []
    for instruction in instructions:
        if instruction.startswith("FROM "):
            found.append([])
        found[-1].append(instruction)
    return found


def only(stage: list[str], keyword: str) -> str:
    """The rest of the one instruction of that keyword."""
    (found,) = [line.split(maxsplit=1)[1] for line in stage if line.split()[0] == keyword]
    return found


def test_the_service_may_do_little(api: dict[str, Any]) -> None:
    assert api["read_only"] is True
    assert api["cap_drop"] == ["ALL"]
    assert api["security_opt"] == ["no-new-privileges:true"]
    assert "cap_add" not in api
    assert "privileged" not in api
    user, group = api["user"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert [mount.split(":")[0] for mount in api["tmpfs"]] == ["/tmp"]


def test_the_service_is_reached_from_this_machine_only(api: dict[str, Any]) -> None:
    assert [port.rsplit(":", 1)[0] for port in api["ports"]] == ["127.0.0.1:8080"]


def test_data_lies_in_a_named_volume_and_documents_cannot_be_written(api: dict[str, Any]) -> None:
    volumes = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["volumes"]
    named, documents = api["volumes"]
    assert named == f"data:{api['environment']['ANSWERABLE_HOME']}"
    assert "data" in volumes
    assert documents.endswith(":/documents:ro")


def test_every_variable_is_a_setting_and_works_as_given(api: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {name: value for name, value in api["environment"].items() if name.startswith("ANSWERABLE_")}
    assert {name.removeprefix("ANSWERABLE_").lower() for name in ours} <= set(Settings.model_fields)
    for name, value in ours.items():
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:-(.*)\}", r"\1", value))
    assert Settings().home == Path("/data")


def test_the_image_runs_as_nobody_special_with_its_data_elsewhere(stages: list[list[str]], api: dict[str, Any]) -> None:
    build, final = stages
    assert only(final, "USER") == api["user"]
    assert only(final, "VOLUME") == "/data"
    assert "--owner=10001" in " ".join(final)  # a new volume takes its owner from the image
    assert final.index(f"USER {api['user']}") > max(
        i for i, line in enumerate(final) if line.startswith(("RUN", "COPY"))
    )
    assert all(line.startswith("FROM python:3.11-slim") for line in (build[0], final[0]))
    assert "ANSWERABLE_HOME=/data" in only(final, "ENV")


def test_the_image_installs_pinned_requirements_before_the_source(stages: list[list[str]]) -> None:
    build = stages[0]
    install = next(i for i, line in enumerate(build) if "pip install --requirement" in line)
    assert build.index("COPY requirements.txt /app/requirements.txt") < install < build.index("COPY . .")
    assert any("--no-deps" in line and "--editable" in line for line in build)


def test_both_health_checks_run_and_tell_a_dead_server(stages: list[list[str]], api: dict[str, Any]) -> None:
    flags, _, command = only(stages[1], "HEALTHCHECK").partition("CMD ")
    check = json.loads(command)
    assert "--start-period" in flags
    assert api["healthcheck"]["test"] == ["CMD", *check]
    assert check[0] == "python"
    assert "/healthz" in check[2]
    compile(check[2], "healthcheck", "exec")
    nobody = check[2].replace("8080", "1")
    assert subprocess.run([sys.executable, "-c", nobody], stderr=subprocess.DEVNULL, check=False).returncode != 0


def test_the_start_command_brings_weights_then_becomes_the_server(stages: list[list[str]]) -> None:
    shell, flag, script = json.loads(only(stages[1], "CMD"))
    assert (shell, flag) == ("sh", "-c")
    pull, serve = script.split(" && ")
    assert pull == "answerable models pull"
    assert serve.startswith("exec answerable serve --host 0.0.0.0")  # exec: so that SIGTERM reaches the server
    assert f"--port {only(stages[1], 'EXPOSE')}" in serve


def test_what_runs_goes_in_and_what_does_not_stays_out() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    ignored = [line for line in lines if line and not line.startswith("#")]

    def stays_out(name: str) -> bool:
        return any(fnmatch.fnmatch(name, pattern.removeprefix("**/")) for pattern in ignored)

    needed = ["answerable.py", "cli", "api", "rag", "ingest", "lm", "eval", "train", "models", "pyproject.toml"]
    assert not [name for name in [*needed, "README.md", "requirements.txt"] if stays_out(name)]
    assert all(map(stays_out, [".git", ".venv", ".env", ".env.local", ".answerable", ".cache", "tests", "__pycache__"]))
    assert not [name for name in needed if not (ROOT / name).exists()]


def test_no_secret_and_no_host_is_written_into_the_files() -> None:
    for name in ("Dockerfile", "compose.yaml"):
        text = (ROOT / name).read_text("utf-8")
        assert set(re.findall(r"https?://([^/:\s']+)", text)) <= {"127.0.0.1", "0.0.0.0", "HOST", "etcd"}
        assert not re.search(r"(password|token|secret)\s*[=:][ \t]*\S", text, re.IGNORECASE)
