"""The arrows between the packages and the fences around libraries, read from every import, function-local ones too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

MAY_IMPORT = {
    "lm": set(),
    "rag": {"lm"},
    "train": {"lm", "rag"},
    "ingest": {"rag"},
    "eval": {"rag", "ingest", "lm"},
    "api": {"rag", "ingest"},
    "answerable_client": set(),
    "cli": {"answerable_client", "api", "eval", "ingest", "lm", "rag", "train"},
    "answerable": {"cli", "api", "eval", "ingest", "lm", "rag", "train"},
}

FENCES = {
    "faiss": ("rag/index/",),
    "pymilvus": ("rag/index/milvus_server.py",),
    "sqlalchemy": ("rag/store/",),
    "psycopg": ("rag/store/",),
    "alembic": ("rag/store/",),
    "langchain_core": ("rag/chain.py", "rag/chain_models.py"),
    "fastapi": ("api/",),
    "starlette": ("api/",),
    "torch": ("lm/", "train/", "rag/encode.py"),
    "typer": ("cli/", "answerable.py"),
    "mcp": ("cli/mcp_server.py",),
    "ray": ("ingest/ray_pool.py",),
    "httpx": ("rag/remote.py", "answerable_client/"),
    "jinja2": ("eval/report_html.py",),
    "yaml": ("eval/suite.py",),
    "prometheus_client": ("api/metrics.py",),
}


def sources() -> list[Path]:
    files = [ROOT / "answerable.py"]
    for package in MAY_IMPORT:
        files += sorted((ROOT / package).rglob("*.py"))
    return files


def imported_names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom) and node.level:
            names.add(path.relative_to(ROOT).parts[0])
    return names


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0].removesuffix(".py")
    ours = imported_names(path) & set(MAY_IMPORT) - {package}
    assert ours <= MAY_IMPORT[package], f"{path} imports {ours - MAY_IMPORT[package]}"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_libraries_stay_behind_their_fences(path: Path) -> None:
    relative = path.relative_to(ROOT).as_posix()
    for library in imported_names(path) & set(FENCES):
        assert relative.startswith(FENCES[library]), f"{relative} imports {library}"


def test_an_arrow_the_wrong_way_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "inner.py"
    file.write_text("def f():\n    from api.app import create_app\n    import torch.nn\n")
    assert imported_names(file) == {"api", "torch"}
