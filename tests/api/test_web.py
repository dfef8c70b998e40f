from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from api.web import FOLDER, policy
from tests.api.client import client

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_and_all_that_it_names_come_from_here(tmp_path: Path) -> None:
    with client(tmp_path) as http:
        page = http.get("/")
        names = re.findall(r'(?:src|href)="(/[^"]+)"|"(/web/[^"]+)"', page.text)
        parts = [http.get(one or other) for one, other in names]
        scripts = [http.get(f"/web/{path.name}") for path in FOLDER.glob("*.js")]
    assert page.headers["content-type"].startswith("text/html")
    assert len(parts) >= 6
    assert {response.status_code for response in [*parts, *scripts]} == {200}
    for response in [page, *scripts]:
        assert "http://" not in response.text and "https://" not in response.text


def test_the_policy_lets_nothing_else_in(tmp_path: Path) -> None:
    with client(tmp_path) as http:
        given = http.get("/").headers["content-security-policy"]
    assert given == policy((FOLDER / "index.html").read_text("utf-8"))
    assert "default-src 'none'" in given
    assert "unsafe" not in given
    assert given.count("'sha256-") == 1


@pytest.mark.parametrize(
    "path", ["..%2fweb.py", "%2e%2e/web.py", "vendor/..%2f..%2fapp.py", "index.html", "vendor/README.md", "missing.js",
             "vendor/", "%00.js", "a" * 5000 + ".js"]
)  # fmt: skip
def test_no_other_file_is_served(tmp_path: Path, path: str) -> None:
    with client(tmp_path) as http:
        assert http.get(f"/web/{path}").status_code == 404


@pytest.mark.parametrize("folder", [FOLDER / "vendor", ROOT / "tests" / "vendor"], ids=["page", "tests"])
def test_libraries_are_those_that_were_published(folder: Path) -> None:
    listed = re.findall(r"^ {4}([0-9a-f]{64})  (\S+)$", (folder / "README.md").read_text("utf-8"), re.M)
    assert {name for _, name in listed} == {path.name for path in folder.iterdir() if path.suffix in (".mjs", ".js")}
    for expected, name in listed:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected, name


def test_the_page_never_writes_markup_from_text() -> None:
    for path in FOLDER.glob("*.js"):
        text = path.read_text("utf-8")
        for danger in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "dangerously"):
            assert danger not in text, f"{path.name}: {danger}"
