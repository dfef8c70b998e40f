"""Reading on nodes, without a cluster: the same rows as in one process, batch by batch, with what a node must tell."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import answerable
from ingest import node
from ingest.build import build_ingester
from ingest.chunk import ChunkOptions
from ingest.discover import Found
from ingest.known import Known
from ingest.node import NodeReader, NodeResult, NodeTask
from ingest.reading import Fresh
from ingest.run import Ingester, Limits
from ingest.sandbox import Recipe
from rag.build import Search
from rag.settings import Settings
from rag.types import InvalidInput
from tests.fakes import HashEncoder, Shelf
from tests.ingest.test_run import rows


class HereNodes:
    """Two readers of this process in turn, each with a file at a time."""

    def __init__(self) -> None:
        self.unseen: list[str] = []

    def read(self, files: Sequence[Found], recipe: Recipe, known: Known, most_bytes: int) -> Iterator[NodeResult]:
        readers = [NodeReader(NodeTask({}, recipe, known, most_bytes), 1) for _ in range(2)]
        for reader in readers:
            assert reader.hello() == HashEncoder().fingerprint
        for number, found in enumerate(reversed(files)):
            result = readers[number % 2].read([found])
            self.unseen += result.unseen
            yield result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.md").write_text(f"# Part {number}\n\n" + f"The valve {number} opens at nine bar. " * 90)
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7")
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("inner/a.txt", "The seal lasts a year.")
        archive.writestr("b.txt", "The rotor turns.")
    return folder


def test_nodes_give_the_rows_of_one_process(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "build_encoder", lambda _settings: HashEncoder())
    for name in ("one", "many"):
        (tmp_path / name).mkdir()
    one, many = Shelf.open(tmp_path / "one"), Shelf.open(tmp_path / "many")
    alone = Ingester(HashEncoder(), one.store, one.retriever.index, ChunkOptions(), 1_000_000)
    nodes = HereNodes()
    spread = replace(alone, store=many.store, index=many.retriever.index, nodes=nodes)
    expected, found = (each.ingest_paths([folder], "default") for each in (alone, spread))
    assert rows(many.store) == rows(one.store)
    assert (found.added, found.chunks, found.bytes) == (expected.added, expected.chunks, expected.bytes)
    assert found.failed == expected.failed and len(found.failed) == 1
    again = spread.ingest_paths([folder], "default")
    assert (again.added, again.changed, again.unchanged) == (0, 0, expected.added)
    assert not nodes.unseen
    (folder / "0.md").rename(folder / "renamed.md")
    assert spread.ingest_paths([folder], "default", prune=True).renamed == 1


def test_a_file_that_is_not_on_the_node_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "build_encoder", lambda _settings: HashEncoder())
    recipe = Recipe("", 256, ChunkOptions(), Limits())
    reader = NodeReader(NodeTask({}, recipe, Known({}, {}, {}, {}), 1000), 1)
    reader.hello()
    result = reader.read([Found(tmp_path / "elsewhere.md")])
    assert result.unseen == (str(tmp_path / "elsewhere.md"),)
    assert result.vectors.shape == (0, HashEncoder().dimension)


def test_a_worker_process_outlives_the_batch_it_was_started_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was killed by the kernel with its thread, now and then with the next batch's file already in its hands."""
    monkeypatch.setattr(node, "build_encoder", lambda _settings: HashEncoder())
    started: list[int] = []

    class Counted(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self.pid)

    monkeypatch.setattr("ingest.sandbox.subprocess.Popen", Counted)
    reader = NodeReader(NodeTask({}, Recipe("", 256, ChunkOptions(), Limits()), Known({}, {}, {}, {}), 1000), 1)
    reader.hello()
    for number in range(3):
        file = tmp_path / f"{number}.md"
        file.write_text(f"The valve {number} opens at nine bar.")
        assert any(isinstance(event, Fresh) for event in reader.read([Found(file)]).events)
        time.sleep(0.3)
    assert len(started) == 1
    reader.close()


def test_ray_that_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "ingest.ray_pool", raising=False)
    shelf = Shelf.open(tmp_path)
    search = Search(shelf.store, HashEncoder(), shelf.retriever.index, shelf.retriever)
    monkeypatch.setattr("ingest.build.require", lambda home, name: home / name)
    with pytest.raises(InvalidInput, match=r"answerable\[ray\]"):
        build_ingester(Settings(home=tmp_path), search, "auto")


@pytest.mark.parametrize("other", [["--watch"], ["--server", "http://127.0.0.1:1"]])
def test_ray_goes_with_neither_a_server_nor_watching(other: list[str]) -> None:
    result = CliRunner().invoke(answerable.app, ["ingest", ".", "--ray", "auto", *other])
    assert isinstance(result.exception, InvalidInput) and "--ray" in str(result.exception)
