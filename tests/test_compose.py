"""What compose.yaml and deploy/ promise, by reading them and by the schemas' and linters' own programs."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from rag.settings import SECRETS, Settings, load_settings

ROOT = Path(__file__).resolve().parent.parent
SCALED = {"prepare", "api-scaled", "proxy", "postgres", "owner", "etcd", "minio", "milvus", "prometheus", "grafana"}
ONE_SHOT = {"prepare", "owner"}
OURS = {"api", "api-gpu", "prepare", "api-scaled"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8")))


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return dict(compose["services"])


def test_the_file_follows_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(ROOT / "compose.yaml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_schema_sees_a_wrong_file(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((ROOT / "compose.yaml").read_text("utf-8").replace("read_only: true", "read_only: [1]", 1))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(wrong)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_each_profile_holds_what_it_needs(services: dict[str, dict[str, Any]]) -> None:
    by_profile: dict[str, set[str]] = {}
    for name, service in services.items():
        for profile in service["profiles"]:
            by_profile.setdefault(profile, set()).add(name)
    assert by_profile == {"cpu": {"api"}, "gpu": {"api-gpu"}, "scale": SCALED}
    for name, service in services.items():  # nothing waits for a service that its profile does not start
        assert {*service.get("depends_on", {})} <= (SCALED if name in SCALED else set())
    assert services["api-scaled"]["deploy"]["replicas"] == 2
    (device,) = services["api-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia" and "gpu" in device["capabilities"]


def test_every_service_may_do_little(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert (
            not service.keys() & {"privileged", "network_mode", "pid", "ipc", "devices", "cap_add"} or name == "owner"
        )
        assert service["pids_limit"] and service["mem_limit"], name
        assert name == "owner" or int(service["user"].split(":")[0]) > 0, name
    assert services["owner"]["cap_add"] == ["CHOWN"]
    assert services["owner"]["command"][0] == "chown"


def test_every_service_that_stays_tells_whether_it_lives(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        if name in ONE_SHOT:
            assert service["restart"] == "no", name
            continue
        assert service["restart"] == "unless-stopped", name
        check = service["healthcheck"]
        assert check["test"][0] == "CMD" and check["interval"] and check["timeout"] and check["retries"], name
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            assert how["condition"] == expected, f"{name} waits for {other}"


def test_only_loopback_is_published_and_databases_reach_nothing_outside(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    assert compose["networks"]["back"]["internal"] is True
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    for name in ("postgres", "owner", "etcd", "minio", "milvus"):
        assert services[name]["networks"] == ["back"], name
        assert not services[name].get("ports"), name
    ports = [port for name in SCALED for port in services[name].get("ports", [])]
    assert len(ports) == len(set(ports)) == 3


def test_images_are_pinned(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        if name in OURS:
            assert service["build"]["context"] == "."
        else:
            assert re.search(r":\D*\d+[.\d-]*", service["image"]) and "build" not in service, name


def test_every_volume_secret_and_file_is_there(compose: dict[str, Any], services: dict[str, dict[str, Any]]) -> None:
    volumes, secrets = set(), set()
    for service in services.values():
        for mount in service.get("volumes", []):
            source = mount.rsplit(":", 2)[0] if mount.endswith(":ro") else mount.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists() and mount.endswith(":ro"), mount
            elif not source.startswith("$"):
                volumes.add(source)
        for secret in service.get("secrets", []):
            secrets.add(secret if isinstance(secret, str) else secret["source"])
    assert volumes == set(compose["volumes"])
    assert secrets == set(compose["secrets"])


def test_secrets_are_made_at_random_once_and_closed_to_others(
    compose: dict[str, Any], services: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "secrets"
    command = ["sh", str(ROOT / "deploy" / "secrets.sh"), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert {f"secrets/{name}" for name in made} >= {entry["file"] for entry in compose["secrets"].values()}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in folder.iterdir())  # for users of containers
    passwords = [made[f"{name}_password"] for name in ("postgres", "minio", "grafana", "milvus")]
    assert len(set(passwords)) == 4 and all(re.fullmatch(r"[0-9a-f]{48}", each) for each in passwords)
    milvus = yaml.safe_load(made["milvus_settings"])
    assert milvus["common"]["security"] == {"authorizationEnabled": True, "defaultRootPassword": passwords[3]}
    assert milvus["minio"]["secretAccessKey"] == passwords[1]
    assert milvus["minio"]["accessKeyID"] == services["minio"]["environment"]["MINIO_ROOT_USER"]
    subprocess.run(command, check=True, capture_output=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == made
    # They are settings as they stand: the names of the files are those of the variables.
    monkeypatch.setattr("rag.settings.SECRETS", folder)
    settings = load_settings()
    user, host = "postgresql://answerable", services["postgres"]["environment"]["POSTGRES_DB"]
    assert settings.database_url == f"{user}:{passwords[0]}@postgres/{host}"
    assert settings.index_url == f"http://root:{passwords[3]}@milvus:19530"


def test_a_secret_yields_to_the_environment_and_no_folder_is_no_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "answerable_generator").write_text("smollm2-135m\n")
    assert Path("/run/secrets") == SECRETS
    monkeypatch.setattr("rag.settings.SECRETS", tmp_path)
    assert load_settings().generator == "smollm2-135m"
    monkeypatch.setenv("ANSWERABLE_GENERATOR", "another")
    assert load_settings().generator == "another"
    monkeypatch.setattr("rag.settings.SECRETS", tmp_path / "none")
    monkeypatch.delenv("ANSWERABLE_GENERATOR")
    assert load_settings().generator == Settings().generator


def test_the_parts_know_each_other_by_their_names(services: dict[str, dict[str, Any]]) -> None:
    nginx = (ROOT / "deploy" / "nginx.conf").read_text("utf-8")
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text("utf-8"))["scrape_configs"][0]
    assert "http://api-scaled:8080" in nginx
    assert scraped["dns_sd_configs"][0]["names"] == ["api-scaled"]
    assert scraped["authorization"]["credentials_file"] == "/run/secrets/answerable_metrics_key"
    assert services["prometheus"]["secrets"] == ["answerable_metrics_key"]
    source = yaml.safe_load((ROOT / "deploy" / "grafana" / "datasources" / "prometheus.yaml").read_text("utf-8"))
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    assert services["milvus"]["environment"]["ETCD_ENDPOINTS"] == "etcd:2379"
    limit = int(re.search(r"client_max_body_size (\d+)m", nginx)[1])  # type: ignore[index]
    assert limit > Settings().max_file_mb
    wait = int(re.search(r"proxy_read_timeout (\d+)s", nginx)[1])  # type: ignore[index]
    assert wait > Settings().timeout_s


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Debian's prometheus is not installed; .ci/run brings it")
def test_prometheus_takes_its_settings() -> None:
    command = ["promtool", "check", "config", "--syntax-only", str(ROOT / "deploy" / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
