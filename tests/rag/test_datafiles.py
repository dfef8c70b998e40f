from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import rag.datafiles
from rag.datafiles import Label, SourceText, read_claims, read_qa, read_retrieval
from rag.types import InvalidInput, Turn


def _qa(**changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": "q1",
        "dataset": "toy",
        "question": "When?",
        "passages": [{"title": "T", "text": "In 1901."}],
        "answers": ["1901"],
        "answerable": True,
    }
    return {key: value for key, value in {**row, **changes}.items() if value is not ...}


def _claim(**changes: Any) -> dict[str, Any]:
    row = {"id": "c1", "dataset": "toy", "passage": "In 1901.", "claim": "It was 1901.", "label": "supported"}
    return {key: value for key, value in {**row, **changes}.items() if value is not ...}


def _write(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_qa_row_with_history_in_either_spelling(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "text": "Röntgen."}]
    (row,) = read_qa(_write(tmp_path / "a.jsonl", _qa(history=turns)))
    assert row.passages == (SourceText("T", "In 1901."),)
    assert row.history == (Turn("user", "Who?"), Turn("assistant", "Röntgen."))
    assert row.answers == ("1901",)


def test_gzip_is_recognised_by_content_and_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "named-without-suffix"
    path.write_bytes(gzip.compress("\ufeff".encode() + json.dumps(_claim(label="nei")).encode() + b"\r\n\r\n"))
    (row,) = read_claims(path)
    assert row.label is Label.NEI
    assert row.question == ""


def test_limit_is_the_first_rows_and_reads_no_further(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.jsonl", _qa(), _qa(id="q2"), "broken")
    assert [row.id for row in read_qa(path, limit=2)] == ["q1", "q2"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (_qa(id=...), '"id" is not a string: None'),
        (_qa(question=7), '"question" is not a string: 7'),
        (_qa(question=" "), '"question" is empty'),
        (_qa(answers="1901"), '"answers" is not a list'),
        (_qa(answers=[1901]), "1901"),
        (_qa(answers=[]), '"answerable": false'),
        (_qa(answerable="yes"), "'yes'"),
        (_qa(passages=["text"]), "list of objects"),
        (_qa(passages=[{"title": "T"}]), '"text" is not a string'),
        (_qa(question="half \ud800 pair"), "surrogate"),
        (["not", "an object"], "not a JSON object"),
    ],
)
def test_bad_qa_lines_name_file_line_value_and_cure(tmp_path: Path, row: object, message: str) -> None:
    path = _write(tmp_path / "bad.jsonl", _qa(id="first"), row)
    with pytest.raises(InvalidInput) as caught:
        read_qa(path)
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert message in str(caught.value)


def test_an_unknown_label_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"line 1: unknown label: 'true'; use one of supported, refuted, nei"):
        read_claims(_write(tmp_path / "a.jsonl", _claim(label="true")))


def test_an_id_used_twice_names_both_lines(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="line 2: id was used on line 1: 'c1'"):
        read_claims(_write(tmp_path / "a.jsonl", _claim(), _claim()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no rows"),
        (b"\n\n", "no rows"),
        (b'{"id": ', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"id": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"id": "\xff\xfe"}', "not UTF-8"),
        (gzip.compress(json.dumps(_claim()).encode() * 99)[:-20], "broken gzip"),
        (b"\x1f\x8b garbage", "broken gzip"),
    ],
    ids=["empty", "blank", "cut", "nested", "huge-number", "latin", "cut-gzip", "no-gzip"],
)
def test_broken_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        read_claims(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        read_qa(tmp_path / "absent.jsonl")
    with pytest.raises(InvalidInput, match="Is a directory"):
        read_qa(tmp_path)


def test_a_line_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rag.datafiles, "MAX_LINE_BYTES", 50)
    with pytest.raises(InvalidInput, match="line too long"):
        read_claims(_write(tmp_path / "a.jsonl", _claim(claim="x" * 100)))


def _retrieval(folder: Path, qrels: str) -> Path:
    _write(folder / "corpus.jsonl", {"_id": "d1", "title": "T", "text": "one"}, {"_id": "d2", "text": ""})
    _write(folder / "queries.jsonl", {"_id": "q1", "text": "?"}, {"_id": "q2", "text": "?"}, {"_id": "q3", "text": "?"})
    (folder / "qrels.tsv").write_text(qrels, encoding="utf-8")
    return folder


def test_retrieval_folder_keeps_judged_queries_in_file_order(tmp_path: Path) -> None:
    folder = _retrieval(tmp_path, "query-id\tcorpus-id\tscore\nq3\td1\t2\nq1\td9\t-1\n")
    data = read_retrieval(folder)
    assert list(data.queries) == ["q1", "q3"]
    assert data.qrels == {"q1": {"d9": -1}, "q3": {"d1": 2}}
    assert data.corpus["d1"] == SourceText("T", "one")
    assert list(read_retrieval(folder, limit=1).qrels) == ["q1"]


@pytest.mark.parametrize(
    ("qrels", "message"),
    [
        ("q1\td1\thigh\n", r"qrels.tsv, line 1: not a judgement: 'q1\\td1\\thigh'"),
        ("q1 d1 1\n", "with tabs between"),
        ("query-id\tcorpus-id\tscore\n", "no judgements"),
        ("q8\td1\t1\n", 'judges query "q8"'),
    ],
)
def test_bad_judgements_are_refused(tmp_path: Path, qrels: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_retrieval(_retrieval(tmp_path, qrels))


def test_an_incomplete_retrieval_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no corpus\.jsonl"):
        read_retrieval(tmp_path)
