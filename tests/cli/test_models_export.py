"""`models export` of a tiny generator: its files, its object, its one-line errors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from answerable import app
from cli.models import Quant
from lm.export_gguf import QUANTS
from rag.types import AnswerableError, InvalidInput, ModelBroken, ModelMissing
from tests.train.conftest import base  # noqa: F401


@pytest.fixture
def home(base: Path, tmp_path: Path) -> Path:  # noqa: F811
    """HOME with a generator "tiny" and an encoder "eyes"."""
    for name, role in (("tiny", "generator"), ("eyes", "encoder")):
        folder = Path(shutil.copytree(base, tmp_path / "home" / "models" / name))
        sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
        facts = {"name": name, "role": role, "version": "1", "source": "", "parent": "", "sha256": "0", "conversion": 1}
        (folder / "manifest.json").write_text(json.dumps({**facts, "files": {}, "sizes": sizes}))
    return tmp_path / "home"


def export(*arguments: str) -> Any:
    done = CliRunner().invoke(app, ["models", "export", *arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.usefixtures("home")
def test_files_are_written_and_listed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    listed = export("tiny", "--out", str(out), "--format", "hf")
    assert (listed["name"], listed["format"]) == ("tiny", "hf")
    assert {Path(file["path"]) for file in listed["files"]} == set(out.iterdir())
    assert all(file["bytes"] == Path(file["path"]).stat().st_size for file in listed["files"])
    for quant in (None, "f16"):
        chosen = ["--quant", quant] if quant else []
        (file,) = export("tiny", "--out", str(out), "--format", "gguf", *chosen)["files"]
        assert file["path"] == str(out / f"tiny-{(quant or 'q8_0').upper()}.gguf")
        assert Path(file["path"]).read_bytes()[:4] == b"GGUF"


@pytest.mark.usefixtures("home")
def test_people_read_the_paths(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["models", "export", "tiny", "--out", str(tmp_path / "out"), "--format", "gguf"])
    assert done.stdout.startswith(str(tmp_path / "out" / "tiny-Q8_0.gguf")) and done.stdout.endswith(" bytes\n")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("nope", "--format", "hf"), ModelMissing, r"nope is not in .*there: eyes, tiny"),
        (("..", "--format", "hf"), InvalidInput, r"model name '\.\.'"),
        (("eyes", "--format", "gguf"), InvalidInput, "eyes is an encoder; only generators"),
        (("tiny", "--format", "hf", "--quant", "q8_0"), InvalidInput, "--quant q8_0 goes with --format gguf"),
        (("tiny", "--format", "hf", "--out", "home/models/mine"), InvalidInput, "name a folder elsewhere"),
        (("tiny", "--format", "gguf", "--out", "home/models/tiny"), InvalidInput, "name a folder elsewhere"),
        (("tiny", "--format", "gguf", "--out", "home/models/tiny/config.json"), InvalidInput, "elsewhere"),
        (("tiny", "--format", "gguf", "--out", "note.txt"), AnswerableError, r"note\.txt cannot be written"),
    ],
)
@pytest.mark.usefixtures("home")
def test_errors_name_value_and_cure(
    tmp_path: Path, arguments: Sequence[str], error: type[Exception], message: str
) -> None:
    (tmp_path / "note.txt").write_text("x")  # the tests run in this folder
    place = [] if "--out" in arguments else ["--out", "out"]
    with pytest.raises(error, match=message) as raised:
        export(*arguments, *place)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_damaged_weights_are_one_line_too(home: Path, tmp_path: Path) -> None:
    weights = home / "models" / "tiny" / "model.safetensors"
    weights.write_bytes(b"\xff" * weights.stat().st_size)
    with pytest.raises(AnswerableError, match=r"model\.safetensors: not a whole safetensors file"):
        export("tiny", "--out", str(tmp_path / "out"), "--format", "gguf")
    weights.write_bytes(b"short")
    with pytest.raises(ModelBroken, match="is not the"):
        export("tiny", "--out", str(tmp_path / "out"), "--format", "gguf")


@pytest.mark.usefixtures("home")
def test_wrong_use_is_exit_code_2() -> None:
    for arguments in (("--format", "onnx"), ("--format", "gguf", "--quant", "q3"), ()):
        done = CliRunner().invoke(app, ["models", "export", "tiny", "--out", "out", *arguments])
        assert done.exit_code == 2


def test_the_command_line_offers_what_the_exporter_makes() -> None:
    assert tuple(Quant) == QUANTS
