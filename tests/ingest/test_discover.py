"""Which files an ingest finds, and which it leaves out for which reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingest.discover import discover
from rag.types import InvalidInput


def test_files_come_in_name_order_and_each_once(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("z.txt", "a.txt", "b/c.txt"):
        (tmp_path / name).write_text("text")
    found = [item.path.relative_to(tmp_path).as_posix() for item in discover([tmp_path, tmp_path / "a.txt"])]
    assert found == ["a.txt", "z.txt", "b/c.txt"]


def test_a_folder_that_cannot_be_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root reads every folder, so the refusal of the system is played here."""
    closed = tmp_path / "closed"
    closed.mkdir()
    (tmp_path / "open.txt").write_text("text")
    honest = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed and honest(path, mode))
    assert {item.path.name: item.skipped for item in discover([tmp_path])} == {
        "closed": "folder cannot be read; fix its permissions",
        "open.txt": "",
    }


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nowhere does not exist; give a file or a folder"):
        list(discover([tmp_path / "nowhere"]))


def test_a_name_that_is_no_utf_8_is_skipped(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("text")
    assert [item.skipped for item in discover([tmp_path])] == ["file name is not UTF-8; rename it"]
