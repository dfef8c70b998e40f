from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from eval.runs import DataFile, Run, describe_data, read_run, split_timings, write_run
from rag.types import InvalidInput


def _run(**changes: object) -> Run:
    run = Run(
        kind="qa",
        metrics={"f1": 0.1 + 0.2, "em": None},
        settings={"top_k": 5, "collection": "Zürich"},
        models={"verifier": "baseline-check@0123456789ab"},
        seed=0,
        data=DataFile("nq_oracle.jsonl.gz", "ab" * 32, 12),
        rows=[{"id": "1", "support": 1 / 3}, {"id": "2", "support": 0.0}],
        timings={"metrics": {"latency_ms_p50": 12.5}},
    )
    return dataclasses.replace(run, **changes)  # type: ignore[arg-type]


def test_a_run_reads_back_to_the_last_digit(tmp_path: Path) -> None:
    path = write_run(_run(), tmp_path / "runs")
    assert read_run(path) == _run()
    assert path.name.startswith("qa-nq_oracle-")


def test_same_input_gives_the_same_bytes_whatever_the_key_order(tmp_path: Path) -> None:
    first = write_run(_run(), tmp_path).read_bytes()
    turned = _run(metrics={"em": None, "f1": 0.1 + 0.2}, settings={"collection": "Zürich", "top_k": 5})
    assert write_run(turned, tmp_path).read_bytes() == first


def test_timings_do_not_change_the_name_and_the_last_digit_does() -> None:
    assert _run(timings={}).name == _run().name
    assert _run(metrics={"f1": 0.3, "em": None}).name != _run().name


def test_the_file_is_json_with_one_row_a_line(tmp_path: Path) -> None:
    text = write_run(_run(), tmp_path).read_text(encoding="utf-8")
    record = json.loads(text)
    assert record["run"] == _run().name
    assert [json.loads(line.rstrip(",")) for line in text.splitlines() if line.startswith('{"id"')] == record["rows"]
    assert list(tmp_path.iterdir()) == [tmp_path / f"{_run().name}.json"]


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_run(_run(), tmp_path)
    before = path.read_bytes()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(InvalidInput, match="No space left"):
        write_run(_run(timings={}), tmp_path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_nan_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nan"):
        write_run(_run(metrics={"f1": float("nan")}), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_altered_run_is_refused(tmp_path: Path) -> None:
    path = write_run(_run(), tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace('"top_k": 5', '"top_k": 6'), encoding="utf-8")
    with pytest.raises(InvalidInput, match="was altered"):
        read_run(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"run": "x", "data": 3}', '{"run": "x", "data": {"name": "a"}}'])
def test_a_file_that_is_no_run_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match="not a run record"):
        read_run(path)


def test_data_of_a_file_and_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"two")
    (tmp_path / "a").write_bytes(b"one")
    sums = [hashlib.sha256(text).hexdigest() for text in (b"one", b"two")]
    assert describe_data(tmp_path / "a") == DataFile("a", sums[0], 3)
    listing = f"{sums[0]}  a\n{sums[1]}  b\n".encode()
    assert describe_data(tmp_path) == DataFile(tmp_path.name, hashlib.sha256(listing).hexdigest(), 6)


def test_data_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="absent"):
        describe_data(tmp_path / "absent")
    with pytest.raises(InvalidInput, match="empty folder"):
        describe_data(tmp_path)


def test_timings_are_split_off() -> None:
    assert split_timings({"f1": 1.0, "latency_ms_p50": 2.0}) == ({"f1": 1.0}, {"latency_ms_p50": 2.0})
