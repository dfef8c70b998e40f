"""What a suite has finished so far, one line a row, so that a run that was stopped goes on where it was.

The file is beside the runs, named by everything that the rows depend on; it goes when the run is written. A last line
that was cut short is dropped and its row made again. Each line is written before the next row is begun.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from rag.types import InvalidInput


class Journal:
    """Finished rows by (set, key), each with its times; open it with ``open_journal``."""

    def __init__(self, path: Path, lines: Mapping[tuple[str, str], tuple[dict[str, Any], dict[str, float]]]):
        self.path = path
        self._lines = dict(lines)
        self._stream: BinaryIO | None = None

    def get(self, name: str, key: str) -> tuple[dict[str, Any], dict[str, float]] | None:
        """The row of that set and key with its times; None where it is not finished."""
        return self._lines.get((name, key))

    def put(self, name: str, key: str, row: dict[str, Any], times: dict[str, float]) -> None:
        """Keep a finished row. Raises InvalidInput for NaN in it, and where the file cannot be written."""
        try:
            text = json.dumps([name, key, row, times], allow_nan=False, ensure_ascii=False)
        except (ValueError, TypeError) as error:
            where = ", ".join(_not_finite(row)) or str(error)
            raise InvalidInput(
                f'set "{name}", row "{key}": {where}, which no run can hold; mend what gave it and run the '
                "suite again, finished rows are kept"
            ) from error
        try:
            if self._stream is None:
                self._stream = self.path.open("ab")
            self._stream.write(text.encode() + b"\n")
            self._stream.flush()
        except OSError as error:
            raise InvalidInput(f"{self.path}: cannot be written ({error.strerror or error}); make room") from error
        self._lines[name, key] = (row, times)

    def close(self) -> None:
        """Close the file; what it holds stays."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


@contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """The journal at ``path``, with what an earlier run finished; removed at the end unless an error ends it.

    Raises InvalidInput where another process writes it, the folder cannot be written, or a line is not ours.
    """
    lock = FileLock(f"{path}.lock", timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise InvalidInput(f"{path}: another process runs this suite; wait for it, or change the suite") from error
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written ({error.strerror or error}); give --out a folder") from error
    try:
        journal = Journal(path, _read(path))
        try:
            yield journal
        finally:
            journal.close()
        path.unlink(missing_ok=True)
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def _read(path: Path) -> dict[tuple[str, str], tuple[dict[str, Any], dict[str, float]]]:
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):  # killed while it wrote a line
        os.truncate(path, len(whole))
    lines = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            name, key, row, times = json.loads(line)
            lines[str(name), str(key)] = (dict(row), dict(times))
        except (ValueError, TypeError) as error:
            raise InvalidInput(
                f"{path}, line {number}: no finished row ({error}); remove the file and run the suite from its start"
            ) from error
    return lines


def _not_finite(value: Any, where: str = "") -> Iterator[str]:
    """Where in ``value`` numbers stand that JSON has no text for, as "support is nan"."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _not_finite(inner, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _not_finite(inner, f"{where}[{place}]")
    elif isinstance(value, float) and (value != value or abs(value) == float("inf")):
        yield f"{where} is {value}"
