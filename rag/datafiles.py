"""Reads the data files that `eval` measures on and `train` learns from: questions, claims, retrieval sets.

Both packages need these readers and may not import each other, so they live below both. Files are JSON lines, UTF-8,
plain or gzip-compressed (recognised by content, not by name). A line that cannot be read stops the run with
InvalidInput naming file, line, value and cure: a measurement over the lines that happened to parse is a wrong number.
``limit`` takes the first N rows in file order (0: all), so that a smaller run is a prefix of a larger one.

    qa          {id, dataset, question, passages: [{title, text}], answers: [...], answerable, history?, kind?}
    claims      {id, dataset, passage, claim, label: supported|refuted|nei|not_supported, question?, right?}
    retrieval   corpus.jsonl[.gz] {_id, text, title?}   queries.jsonl[.gz] {_id, text}
                qrels.tsv: query-id, corpus-id, score, with or without a header line
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from rag.types import InvalidInput, Turn

MAX_LINE_BYTES = 64 * 1024 * 1024
_SHOWN_CHARACTERS = 80
_GZIP_MAGIC = b"\x1f\x8b"
_GRADE = re.compile(r"-?[0-9]{1,9}")

Row = TypeVar("Row")


class Label(StrEnum):
    """What a passage says of a claim. Only SUPPORTED counts as supported; the other three are "the rest"."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    NEI = "nei"
    NOT_SUPPORTED = "not_supported"


@dataclass(frozen=True, slots=True)
class SourceText:
    """A passage of a question's record; ``title`` may be empty."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class QaRow:
    """A question with the passages it is to be answered from and every accepted answer.

    ``answers`` is not empty where ``answerable``; an unanswerable row may hold sample refusals, which nothing scores.
    ``kind`` is the file's own name for what makes the question hard, by which reports break figures down.
    """

    id: str
    dataset: str
    question: str
    passages: tuple[SourceText, ...]
    answers: tuple[str, ...]
    answerable: bool
    history: tuple[Turn, ...] = ()
    kind: str = ""


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """A claim and the passage to judge it by; ``question`` is what the claim answers, empty for a free-standing one.

    ``right``: whether it answers the question rightly, in files whose labels tell.
    """

    id: str
    dataset: str
    passage: str
    claim: str
    label: Label
    question: str = ""
    right: bool | None = None


@dataclass(frozen=True, slots=True)
class RetrievalSet:
    """A corpus, the judged queries and their judgements (query id -> document id -> grade, relevant from 1 up)."""

    name: str
    corpus: Mapping[str, SourceText]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class _Line:
    """One parsed line and where it stands, for the error messages of its fields."""

    path: Path
    number: int
    fields: Mapping[str, Any]

    def fail(self, problem: str, value: object, cure: str) -> InvalidInput:
        return _bad_line(self.path, self.number, problem, value, cure)

    def text(self, name: str, *, empty: bool = False, default: str | None = None) -> str:
        value = self.fields.get(name, default)
        if not isinstance(value, str):
            raise self.fail(f'"{name}" is not a string', value, f'give every line a string "{name}"')
        if not empty and not value.strip():
            raise self.fail(f'"{name}" is empty', value, f'give every line a non-empty "{name}"')
        if not _is_encodable(value):
            raise self.fail(f'"{name}" holds half a surrogate pair', value, "write the file as UTF-8 again")
        return value

    def items(self, name: str) -> list[Any]:
        value = self.fields.get(name, [])
        if not isinstance(value, list):
            raise self.fail(f'"{name}" is not a list', value, f'write "{name}" as a JSON list')
        return value


Line = _Line  # what read_records hands to the readers of other kinds of rows


def read_qa(path: Path, limit: int = 0) -> list[QaRow]:
    """Rows of a qa file.

    Raises InvalidInput for a missing or empty file, a line that is no JSON object, a field that is missing or of the
    wrong kind, an answerable row without answers, and an id seen before.
    """
    return _read_rows(path, _qa_row, lambda row: row.id, limit)


def read_claims(path: Path, limit: int = 0) -> list[ClaimRow]:
    """Rows of a claims file; raises InvalidInput as read_qa does, and for a label that is none of the four."""
    return _read_rows(path, _claim_row, lambda row: row.id, limit)


def read_retrieval(folder: Path, limit: int = 0) -> RetrievalSet:
    """A BEIR-shaped folder; ``limit`` keeps the first N judged queries (0: all), the corpus stays whole.

    Queries without a judgement are left out: nothing can be said of their ranking. A judged document that is not in
    the corpus stays in ``qrels`` and counts as never found, as in trec_eval.
    Raises InvalidInput for missing files, bad lines, a grade that is no integer, or a judged query without a text.
    """
    corpus = dict(_read_rows(_part(folder, "corpus"), _document, lambda row: row[0], 0))
    queries = dict(_read_rows(_part(folder, "queries"), _query, lambda row: row[0], 0))
    qrels = _read_qrels(folder / "qrels.tsv")
    if unknown := [key for key in qrels if key not in queries]:
        raise InvalidInput(f'{folder}: qrels.tsv judges query "{unknown[0]}", which queries.jsonl lacks: add its text')
    judged = [key for key in queries if key in qrels]
    kept = judged[:limit] if limit > 0 else judged
    return RetrievalSet(folder.name, corpus, {key: queries[key] for key in kept}, {key: qrels[key] for key in kept})


def read_records(path: Path, parse: Callable[[Line], Row], key: Callable[[Row], str]) -> list[Row]:
    """Rows of any other kind of JSON lines, as ``parse`` makes them; ``key`` must be new in each.

    Raises InvalidInput as read_qa does.
    """
    return _read_rows(path, parse, key, 0)


def _read_rows(path: Path, parse: Callable[[_Line], Row], key: Callable[[Row], str], limit: int) -> list[Row]:
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for line in _json_lines(path):
        row = parse(line)
        if (first := seen.setdefault(key(row), line.number)) != line.number:
            raise line.fail(f"id was used on line {first}", key(row), "give every line its own id")
        rows.append(row)
        if len(rows) == limit:
            break
    if not rows:
        raise InvalidInput(f"{path}: no rows in the file; give a file with at least one JSON line")
    return rows


def _qa_row(line: _Line) -> QaRow:
    answerable = line.fields.get("answerable")
    if not isinstance(answerable, bool):
        raise line.fail('"answerable" is not true or false', answerable, 'write "answerable" as true or false')
    answers = tuple(_strings(line, "answers"))
    if answerable and not answers:
        raise line.fail("answerable, but no answers", answers, 'list the gold answers or write "answerable": false')
    return QaRow(
        id=line.text("id"),
        dataset=line.text("dataset"),
        question=line.text("question"),
        passages=tuple(_passage(line, value) for value in line.items("passages")),
        answers=answers,
        answerable=answerable,
        history=tuple(_turn(line, value) for value in line.items("history")),
        kind=line.text("kind", empty=True, default=""),
    )


def _claim_row(line: _Line) -> ClaimRow:
    label = line.text("label")
    if label not in set(Label):
        raise line.fail("unknown label", label, f"use one of {', '.join(Label)}")
    right = line.fields.get("right")
    if right is not None and not isinstance(right, bool):
        raise line.fail('"right" is not true or false', right, 'write "right" as true or false, or leave it out')
    return ClaimRow(
        id=line.text("id"),
        dataset=line.text("dataset"),
        passage=line.text("passage"),
        claim=line.text("claim"),
        label=Label(label),
        question=line.text("question", empty=True, default=""),
        right=right,
    )


def _document(line: _Line) -> tuple[str, SourceText]:
    title = line.text("title", empty=True, default="")
    return line.text("_id"), SourceText(title, line.text("text", empty=True))


def _query(line: _Line) -> tuple[str, str]:
    return line.text("_id"), line.text("text")


def _strings(line: _Line, name: str) -> Iterator[str]:
    for value in line.items(name):
        if not isinstance(value, str) or not _is_encodable(value):
            raise line.fail(f'"{name}" holds something that is no text', value, f'write "{name}" as a list of strings')
        yield value


def _nested(line: _Line, value: object, name: str) -> _Line:
    if not isinstance(value, dict):
        raise line.fail(f'"{name}" holds something that is no object', value, f'write "{name}" as a list of objects')
    return _Line(line.path, line.number, value)


def _passage(line: _Line, value: object) -> SourceText:
    inner = _nested(line, value, "passages")
    return SourceText(inner.text("title", empty=True, default=""), inner.text("text"))


def _turn(line: _Line, value: object) -> Turn:
    inner = _nested(line, value, "history")
    return Turn(inner.text("role"), inner.text("content" if "content" in inner.fields else "text", empty=True))


def _read_qrels(path: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for number, text in _lines(path):
        parts = text.split("\t")
        if number == 1 and parts[0] == "query-id":
            continue
        if len(parts) != 3 or not _GRADE.fullmatch(parts[2].strip()):
            cure = "write query-id, corpus-id and an integer grade, with tabs between"
            raise _bad_line(path, number, "not a judgement", text, cure)
        qrels.setdefault(parts[0], {})[parts[1]] = int(parts[2])
    if not qrels:
        raise InvalidInput(f"{path}: no judgements in the file; give at least one line of query-id, corpus-id, score")
    return qrels


def _part(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz"):
        if path.is_file():
            return path
    raise InvalidInput(f"{folder}: no {name}.jsonl or {name}.jsonl.gz; give a folder with corpus, queries and qrels")


def _json_lines(path: Path) -> Iterator[_Line]:
    for number, text in _lines(path):
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _bad_line(path, number, "not JSON", text, f"write one JSON object a line ({error})") from error
        if not isinstance(fields, dict):
            raise _bad_line(path, number, "not a JSON object", text, "write one JSON object a line")
        yield _Line(path, number, fields)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered non-blank lines of a plain or gzip-compressed UTF-8 file."""
    number = 0
    try:
        with _open(path) as stream:
            while raw := stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(raw) > MAX_LINE_BYTES:
                    raise _bad_line(path, number, "line too long", raw[:99], f"keep lines under {MAX_LINE_BYTES} bytes")
                if text := raw.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n "):
                    yield number, text
    except UnicodeDecodeError as error:
        raise _bad_line(path, number, "not UTF-8", error.object[:99], "save the file as UTF-8") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        cure = "copy the file again"
        raise InvalidInput(f"{path}: broken gzip data after line {number} ({error}); {cure}") from error
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror or error}); give a readable file") from error


def _open(path: Path) -> BinaryIO:
    stream = path.open("rb")
    if stream.read(2) == _GZIP_MAGIC:
        stream.close()
        return gzip.open(path, "rb")  # type: ignore[return-value]  # GzipFile reads as a BinaryIO does
    stream.seek(0)
    return stream


def _is_encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _bad_line(path: Path, number: int, problem: str, value: object, cure: str) -> InvalidInput:
    shown = repr(value)
    if len(shown) > _SHOWN_CHARACTERS:
        shown = shown[:_SHOWN_CHARACTERS] + "..."
    return InvalidInput(f"{path}, line {number}: {problem}: {shown}; {cure}")
