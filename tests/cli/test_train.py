"""`train tune` on a tiny base: its object, its folder, its errors; and what the command line does not import."""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import train.tune
from answerable import app
from cli.train import _last_line
from rag.types import AnswerableError, InvalidInput, ModelMissing
from tests.pairs import write_base
from tests.train.conftest import base, dev_folder, place_text, train_folder, write_rows  # noqa: F401
from train.batches import pack_groups
from train.recipes import make_groups
from train.sources import Source

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def arguments(
    base: Path,  # noqa: F811
    train_folder: Path,  # noqa: F811
    dev_folder: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> list[str]:
    """A tuning run of two steps over the fixtures' files, rows as long as a byte vocabulary makes them."""
    sources = (Source("squad"), Source("boolq"))
    monkeypatch.setattr(train.tune, "make_groups", lambda folder, dev, seed: make_groups(folder, dev, seed, sources))
    monkeypatch.setattr(train.tune, "DEV_SIZES", {"boolq": 1, "squad2": 2})
    monkeypatch.setattr(train.tune, "HELD_OUT", 2)
    longer = lambda groups, tokenizer, _: pack_groups(groups, tokenizer, 2000)  # noqa: E731
    monkeypatch.setattr(train.tune, "pack_groups", longer)
    folders = ["--train", str(train_folder), "--dev", str(dev_folder), "--out", str(tmp_path / "run")]
    return ["--base", str(base), *folders, "--steps", "2", "--minutes", "0", "--batch-tokens", "1000"]


def test_tune_prints_the_object_of_the_contract(arguments: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["train", "tune", *arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    result = json.loads(done.stdout)
    assert list(result) == ["out", "steps", "seconds", "tokens", "loss", "val_loss", "dev"]
    assert (result["out"], result["steps"]) == (str(tmp_path / "run"), 2)
    assert result["dev"]["n"] > 0
    assert "rows of" in done.stderr and "step 2" in done.stderr
    assert (tmp_path / "run" / "adapter_model.safetensors").is_file()
    assert logging.getLogger("train").handlers == []


def test_tune_tells_people_too_and_goes_on_with_a_run(arguments: list[str], tmp_path: Path) -> None:
    for _ in range(2):
        done = CliRunner().invoke(app, ["train", "tune", *arguments], catch_exceptions=False)
        assert "val_loss" in done.stdout and str(tmp_path / "run")[:20] in done.stdout
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert max(steps) == 2


@pytest.mark.parametrize(
    ("extra", "error", "message"),
    [
        (["--rank", "0"], InvalidInput, "rank 0"),
        (["--first-layer", "9"], InvalidInput, "first layer 9 of a model with 2"),
        (["--steps", "0"], InvalidInput, "neither steps nor minutes"),
        (["--base", "nowhere"], AnswerableError, r"nowhere.*bring the model"),
        (["--adapter", "nowhere"], AnswerableError, r"nowhere.*name a folder"),
        (["--dev", "nowhere"], InvalidInput, "nowhere"),
    ],
)
def test_errors_are_ours(arguments: list[str], extra: list[str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        CliRunner().invoke(app, ["train", "tune", *arguments, *extra], catch_exceptions=False)
    assert isinstance(raised.value, AnswerableError) and "\n" not in str(raised.value)


def test_the_base_weights_are_those_of_home(arguments: list[str]) -> None:
    with pytest.raises(ModelMissing, match=r"smollm2-135m is not in .*home/models; run: answerable models pull"):
        CliRunner().invoke(app, ["train", "tune", *arguments[2:]], catch_exceptions=False)


def test_wrong_use_is_exit_code_2_and_help_names_every_option() -> None:
    wrong = CliRunner().invoke(app, ["train", "tune", "--train", "x"])
    assert wrong.exit_code == 2 and "required: --dev, --out" in wrong.stderr
    assert CliRunner().invoke(app, ["train", "tune", "--frobnicate"]).exit_code == 2
    shown = CliRunner().invoke(app, ["train", "tune", "--help"])
    assert shown.exit_code == 0
    for option in ("--base", "--train", "--dev", "--out", "--minutes", "--json"):
        assert option in shown.stdout


def test_the_bar_follows_whole_lines_of_the_metrics(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert _last_line(path) == {}
    path.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert _last_line(path) == {"step": 2}


def test_the_command_line_starts_without_torch() -> None:
    code = "import sys, answerable, cli.train, cli.models; print([n for n in ('torch', 'gguf') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.fixture
def encoder_arguments(
    train_folder: Path,  # noqa: F811
    dev_folder: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> list[str]:
    """A run of two steps of reader or verifier over the fixtures' files."""
    (tmp_path / "data" / "qa").mkdir(parents=True)
    train_folder.rename(tmp_path / "data" / "qa" / "train")
    dev_folder.rename(tmp_path / "data" / "qa" / "dev")
    for part, places in (("train", range(1, 6)), ("dev", range(1))):
        (tmp_path / "data" / "claims" / part).mkdir(parents=True)
        rows = [
            {"id": f"{n}-{label}", "dataset": "rte", "passage": place_text(n), "claim": claim, "label": label}
            for n in places
            for claim, label in ((place_text(n).split(". ")[0], "supported"), ("There is no river at all", "refuted"))
        ]
        (tmp_path / "data" / "claims" / part / "rte.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for rows_module in ("reader_rows", "verifier_rows"):
        monkeypatch.setattr(f"train.{rows_module}.SOURCES", (Source("squad", window=1300),))
    monkeypatch.setattr("train.verifier_rows.CLAIM_FILES", {"rte": 0})
    monkeypatch.setattr("train.reader.DEV_SIZES", {"squad2": 3})
    folder = write_base(tmp_path / "base", map(place_text, range(8)))
    folders = ["--base", str(folder), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run")]
    return [*folders, "--steps", "2", "--minutes", "0", "--batch-tokens", "1000"]


@pytest.mark.parametrize("model", ["reader", "verifier"])
def test_reader_and_verifier_train_from_the_command_line(
    encoder_arguments: list[str], tmp_path: Path, model: str
) -> None:
    done = CliRunner().invoke(app, ["train", model, *encoder_arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    result = json.loads(done.stdout)
    assert result["steps"] == 2 and math.isfinite(result["val_loss"]) and "step 2" in done.stderr
    assert (tmp_path / "run" / "model" / "weights.safetensors").is_file()
    deeper = [*encoder_arguments[:-1], "2000", "--layers", "3"]
    with pytest.raises(AnswerableError, match="3 layers cannot be made of"):
        CliRunner().invoke(app, ["train", model, *deeper], catch_exceptions=False)
    with pytest.raises(ModelMissing, match="minilm-l6 is not in"):
        CliRunner().invoke(app, ["train", model, *encoder_arguments[2:]], catch_exceptions=False)
