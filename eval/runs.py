"""The record of one evaluation: one JSON file that says what was measured, on what, with what, and what came out.

    {"kind": "qa", "run": "qa-nq_oracle-1f3c...", "seed": 0,
     "data": {"name", "sha256", "size"}, "settings": {...}, "models": {...}, "metrics": {...},
     "timings": {"metrics": {...}, "rows": {id: ms}},
     "rows": [one object a line]}

Everything but ``timings`` is a function of the input: same data, settings, models and seed give the same bytes. The
run's name ends in a hash of exactly that part, so two runs that agree to the last digit have the same name, and two
that differ anywhere do not.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rag.types import InvalidInput

_SECTIONS = ("kind", "seed", "data", "settings", "models", "metrics", "timings", "rows")
_TIMED = "latency_ms"
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class DataFile:
    """Identity of a data file: its name without folders, SHA-256 of its bytes, size in bytes."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Run:
    """One evaluation. ``metrics`` and ``rows`` hold no times; those are in ``timings``, in milliseconds.

    ``models`` maps a role to name@fingerprint. Values are what JSON can hold, without NaN or infinity.
    """

    kind: str
    metrics: Mapping[str, Any]
    settings: Mapping[str, Any]
    models: Mapping[str, str]
    seed: int
    data: DataFile
    rows: Sequence[Mapping[str, Any]]
    timings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """``<kind>-<data file>-<12 hex digits over everything but the timings>``, safe as a file name."""
        stem = re.sub(r"(\.(jsonl|tsv|csv))?(\.gz)?$", "", self.data.name)
        digest = hashlib.sha256("\n".join(_sections(self, timings=False)).encode()).hexdigest()
        return f"{self.kind}-{re.sub(r'[^A-Za-z0-9_.-]+', '_', stem)}-{digest[:12]}"


def describe_data(path: Path) -> DataFile:
    """Identity of a file, or of a folder: its files in order of name, hashed with their names; size is the sum.

    Raises InvalidInput where the path cannot be read or the folder is empty.
    """
    try:
        if not path.is_dir():
            return DataFile(path.name, _sha256(path), path.stat().st_size)
        parts = sorted(part for part in path.rglob("*") if part.is_file())
        lines = "".join(f"{_sha256(part)}  {part.relative_to(path).as_posix()}\n" for part in parts)
        size = sum(part.stat().st_size for part in parts)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror or error}); give a readable path") from error
    if not parts:
        raise InvalidInput(f"{path}: an empty folder; give a file or a folder with data files")
    return DataFile(path.resolve().name, hashlib.sha256(lines.encode()).hexdigest(), size)


def split_timings(metrics: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metrics that must repeat to the last digit, and the times (keys with "latency_ms"), which cannot."""
    fixed = {key: value for key, value in metrics.items() if _TIMED not in key}
    return fixed, {key: value for key, value in metrics.items() if _TIMED in key}


def write_run(run: Run, folder: Path) -> Path:
    """Writes ``folder/<run.name>.json`` whole or not at all, and returns its path; an older one is replaced.

    Raises InvalidInput where the folder cannot be written or a value is NaN, infinite or no JSON value.
    """
    content = run_text(run)
    target = folder / f"{run.name}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(target, content.encode())
    except OSError as error:
        raise InvalidInput(f"{target}: cannot be written ({error.strerror or error}); give --out a folder") from error
    return target


def read_run(path: Path) -> Run:
    """Reads what ``write_run`` wrote.

    Raises InvalidInput for a file that cannot be read, is no run record, or was altered after it was written.
    """
    try:
        return parse_run(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror or error}); give a run file") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: not a run record ({error}); give a file that an eval command wrote") from error


def parse_run(text: str, where: str) -> Run:
    """A run from the text of its file; ``where`` it came from goes into the errors. Raises InvalidInput as read_run."""
    try:
        record = json.loads(text, parse_constant=_no_number)
        name = record.pop("run")
        run = Run(**{**record, "data": DataFile(**record["data"])})
        intact = run.name == name
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        cut = text.lstrip().startswith("{") and not text.rstrip().endswith("}")
        cure = "it was cut short: run the evaluation again" if cut else "give a file that an eval command wrote"
        raise InvalidInput(f"{where}: not a run record ({error}); {cure}") from error
    if not intact:
        raise InvalidInput(f'{where}: does not match its name "{name}", it was altered; run the evaluation again')
    return run


def run_text(run: Run) -> str:
    """The text of a run's file. Raises InvalidInput where a value is NaN, infinite or no JSON value."""
    body = ",\n".join([f'"run": {_dump(run.name)}', *_sections(run, timings=True)])
    return f"{{\n{body}\n}}\n"


def _no_number(text: str) -> float:
    raise ValueError(f"{text} stands where a number should")


def _sections(run: Run, *, timings: bool) -> list[str]:
    """Each section as ``"key": value`` text; rows one a line, so that two runs can be compared with diff."""
    names = [name for name in _SECTIONS if timings or name != "timings"]
    return [f'"{name}": {_rows(run.rows) if name == "rows" else _dump(_value(run, name))}' for name in names]


def _value(run: Run, name: str) -> object:
    if name == "data":
        return {"name": run.data.name, "sha256": run.data.sha256, "size": run.data.size}
    return getattr(run, name)


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    return "[\n" + ",\n".join(_dump(row) for row in rows) + "\n]"


def _dump(value: object) -> str:
    """JSON with sorted keys; floats as Python's shortest text that reads back to the same bits."""
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(", ", ": "))
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"a run record cannot hold {str(value)[:80]!r}: {error}; use finite JSON values") from error


def _replace(target: Path, content: bytes) -> None:
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
