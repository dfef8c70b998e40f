"""JSON and JSON Lines: every record a row "key: value | key: value", with the path of its keys, never cut.

A record is what a list holds, or a line of JSON Lines; an object of many parts becomes a heading for each key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ingest.normalise import inline
from ingest.readers.builder import TextBuilder
from ingest.readers.decode import decode
from ingest.readers.names import title_of
from rag.types import DocumentRejected, ParsedDocument

VERSION = "json/1"

_DEEPEST = 60  # objects and lists within each other
_DEEPEST_HEADING = 6
_SHORT = 400  # characters of a record that stands in one row


def read_json(name: str, data: bytes) -> ParsedDocument:
    """Reads one JSON value, or one a line. Raises DocumentRejected for what is no JSON, with the place."""
    builder = TextBuilder()
    if name.lower().endswith((".jsonl", ".ndjson")):
        for value in _json_lines(data):
            _record(builder, value)
    else:
        _write(builder, load_json(data), 1)
    return builder.finish(title_of(name), VERSION)


def load_json(data: bytes) -> Any:
    """The value in ``data``. Raises DocumentRejected for what is no JSON, or is nested too deeply."""
    return _parse(decode(data))


def _json_lines(data: bytes) -> Iterator[Any]:
    for number, line in enumerate(decode(data).split("\n"), start=1):
        if line.strip():
            yield _parse(line, f"line {number}: ")


def _parse(text: str, where: str = "") -> Any:
    try:
        return json.loads(text, parse_int=str, parse_float=str)  # as written: no rounding, no 4300-digit limit
    except RecursionError as error:
        raise DocumentRejected(f"{where}its JSON is nested too deeply to read") from error
    except ValueError as error:
        raise DocumentRejected(f"{where}it is no JSON ({error}); check that it was saved whole") from error


def _write(builder: TextBuilder, value: Any, depth: int) -> None:
    """Adds a value: a short object as one row, a long one key by key, a list item by item."""
    if depth > _DEEPEST:
        raise DocumentRejected(f"its JSON is nested over {_DEEPEST} deep; flatten it")
    if isinstance(value, list):
        for item in value:
            _record(builder, item, depth)
    elif isinstance(value, dict) and not _is_short(value):
        for key, inner in value.items():
            if isinstance(inner, dict | list):
                builder.heading(min(depth, _DEEPEST_HEADING), key)
                _write(builder, inner, depth + 1)
            else:
                builder.paragraph(f"{key}: {_scalar(inner)}")
    else:
        _record(builder, value, depth)


def _record(builder: TextBuilder, value: Any, depth: int = 1) -> None:
    """Adds a record as one row; one that is too long for a row, key by key."""
    if isinstance(value, dict | list) and not _is_short(value):
        _write(builder, value, depth + 1)
    else:
        builder.row(" | ".join(_pairs(value, "", 0)))


def _is_short(value: Any) -> bool:
    return sum(len(pair) + 3 for pair in _pairs(value, "", 0)) <= _SHORT


def _pairs(value: Any, path: str, depth: int) -> Iterator[str]:
    """ "path: value" for every scalar in ``value``; lists of scalars joined by commas."""
    if depth > _DEEPEST:
        raise DocumentRejected(f"its JSON is nested over {_DEEPEST} deep; flatten it")
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _pairs(inner, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for item in value:
            yield from _pairs(item, path, depth + 1)
    else:
        text = ", ".join(map(_scalar, value)) if isinstance(value, list) else _scalar(value)
        if text:
            yield f"{inline(path)}: {text}" if path else text


def _scalar(value: Any) -> str:
    return (
        {None: "", True: "true", False: "false"}.get(value, "") if value in (None, True, False) else inline(str(value))
    )
