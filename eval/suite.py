"""A suite file: which sets are measured, how much of each, in which way, with which seed. TOML, YAML or JSON.

    name = "default"
    seed = 7

    [[sets]]
    name = "golden"                       # heads its figures: golden.f1
    kind = "qa"                           # qa, robustness, claims, retrieval, bias, counterfactual
    path = "../golden/examples.jsonl"     # beside the suite file; or data = "...", inside the folder of --data
    mode = "open"                         # of qa: "open" searches all passages of the set, "closed" gives each its own
    size = 40                             # rows, spread evenly over the file; 0 or left out: all
    checks = ["typing"]                   # of robustness; left out: all

A set with ``data`` is left out, and the run says so, where no --data is given: public sets are not shipped with us.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from eval.robust import CHECKS
from rag.types import InvalidInput

DEFAULT_SUITE = Path(__file__).resolve().parent / "suites" / "default.toml"
KINDS = ("qa", "robustness", "claims", "retrieval", "bias", "counterfactual")
MODES = ("closed", "open")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SUITE_KEYS = ("name", "seed", "sets")
_SET_KEYS = ("name", "kind", "path", "data", "mode", "size", "checks")


@dataclass(frozen=True, slots=True)
class SuiteSet:
    """One set of a suite. ``file`` is where its rows are; None where it needs --data and there is none.

    ``size`` is the number of rows, 0 for all; ``mode`` counts for "qa", ``checks`` for "robustness".
    """

    name: str
    kind: str
    file: Path | None
    mode: str = "closed"
    size: int = 0
    checks: tuple[str, ...] = CHECKS

    def describe(self) -> dict[str, Any]:
        """What a run file keeps of it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "file": self.file.name if self.file else None,
            "size": self.size,
            **({"mode": self.mode} if self.kind == "qa" else {}),
            **({"checks": list(self.checks)} if self.kind == "robustness" else {}),
        }


@dataclass(frozen=True, slots=True)
class Suite:
    """The sets of a suite file, in its order."""

    name: str
    seed: int
    sets: tuple[SuiteSet, ...]

    @property
    def here(self) -> tuple[SuiteSet, ...]:
        """The sets that can be measured."""
        return tuple(each for each in self.sets if each.file is not None)


def read_suite(path: Path, data: Path | None = None) -> Suite:
    """The suite of a file; ``data`` is the folder that sets with ``data`` are in.

    Raises InvalidInput for a file that cannot be read, a key that is unknown or of the wrong kind, a set whose file is
    missing, two sets of one name, and a suite without a set that can be measured.
    """
    table = _table(path)
    _known(path, table, _SUITE_KEYS, "the suite")
    name, seed, sets = table.get("name"), table.get("seed", 0), table.get("sets")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInput(f"{path}: name is {name!r}; give letters, digits, - and _")
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
        raise InvalidInput(f"{path}: seed is {seed!r}; give a whole number from 0")
    if not isinstance(sets, list) or not sets:
        raise InvalidInput(f"{path}: no sets; list at least one under [[sets]]")
    read = tuple(_set(path, place, each, data) for place, each in enumerate(sets, start=1))
    names = [each.name for each in read]
    if twice := [each for each in names if names.count(each) > 1]:
        raise InvalidInput(f'{path}: two sets are called "{twice[0]}"; give each a name of its own')
    suite = Suite(name, seed, read)
    if not suite.here:
        raise InvalidInput(f"{path}: every set is in the folder of public data; give it with --data FOLDER")
    return suite


def _table(path: Path) -> Mapping[str, Any]:
    loads: dict[str, Callable[[str], Any]] = {
        ".toml": tomllib.loads,
        ".json": json.loads,
        ".yaml": yaml.safe_load,
        ".yml": yaml.safe_load,
    }
    if path.suffix not in loads:
        raise InvalidInput(f"{path}: a suite is a file in {', '.join(loads)}; give such a file")
    try:
        table = loads[path.suffix](path.read_text("utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror or error}); give a readable file") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InvalidInput(f"{path}: not {path.suffix[1:].upper()} ({reason}); mend that line") from error
    if not isinstance(table, dict):
        raise InvalidInput(f"{path}: holds {type(table).__name__}, no table of name, seed and sets; see eval/suite.py")
    return table


def _set(path: Path, place: int, table: Any, data: Path | None) -> SuiteSet:
    where = f"set {place}"
    if not isinstance(table, dict):
        raise InvalidInput(f"{path}: {where} is {table!r}; write a table with {', '.join(_SET_KEYS)}")
    _known(path, table, _SET_KEYS, where)
    name = table.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInput(f"{path}: name of {where} is {name!r}; give letters, digits, - and _")
    size, checks = table.get("size", 0), table.get("checks", list(CHECKS))
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise InvalidInput(f'{path}: size of "{name}" is {size!r}; give a whole number, 0 for all rows')
    if not isinstance(checks, list) or not checks:
        raise InvalidInput(f'{path}: checks of "{name}" is {checks!r}; list some of {", ".join(CHECKS)}')
    return SuiteSet(
        name=name,
        kind=_one_of(path, name, "kind", table.get("kind"), KINDS),
        file=_file(path, name, table, data),
        mode=_one_of(path, name, "mode", table.get("mode", "closed"), MODES),
        size=size,
        checks=tuple(_one_of(path, name, "checks", check, CHECKS) for check in checks),
    )


def _file(path: Path, name: str, table: Mapping[str, Any], data: Path | None) -> Path | None:
    given = [key for key in ("path", "data") if key in table]
    if len(given) != 1 or not isinstance(table[given[0]], str):
        raise InvalidInput(f'{path}: "{name}" needs either path (beside the suite file) or data (inside --data)')
    if given == ["data"] and data is None:
        return None
    folder: Path = data if given == ["data"] and data is not None else path.parent
    file = folder / str(table[given[0]])
    if not file.exists():
        cure = "mend data, or give another --data" if given == ["data"] else "mend path, or put the file there"
        raise InvalidInput(f'{path}: the file of "{name}" is missing: {file}; {cure}')
    return file


def _one_of(path: Path, name: str, key: str, value: Any, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in known:
        raise InvalidInput(f'{path}: {key} of "{name}" is {value!r}; use one of {", ".join(known)}')
    return value


def _known(path: Path, table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    if unknown := [key for key in table if key not in known]:
        raise InvalidInput(f"{path}: {where} has the unknown key {unknown[0]!r}; use {', '.join(known)}")
