from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.robust import CHECKS
from eval.suite import DEFAULT_SUITE, read_suite
from rag.types import InvalidInput

GOOD = """
name = "small"
seed = 3
[[sets]]
name = "golden"
kind = "qa"
path = "rows.jsonl"
mode = "open"
size = 5
[[sets]]
name = "public"
kind = "claims"
data = "claims.jsonl"
"""


def write(folder: Path, text: str, name: str = "suite.toml") -> Path:
    (folder / "rows.jsonl").write_text("{}\n", "utf-8")
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_a_suite_of_each_format_is_the_same(tmp_path: Path) -> None:
    toml = read_suite(write(tmp_path, GOOD))
    table = {
        "name": "small",
        "seed": 3,
        "sets": [
            {"name": "golden", "kind": "qa", "path": "rows.jsonl", "mode": "open", "size": 5},
            {"name": "public", "kind": "claims", "data": "claims.jsonl"},
        ],
    }
    assert read_suite(write(tmp_path, json.dumps(table), "suite.json")) == toml
    yaml = "name: small\nseed: 3\nsets:\n- {name: golden, kind: qa, path: rows.jsonl, mode: open, size: 5}\n"
    yaml += "- {name: public, kind: claims, data: claims.jsonl}\n"
    assert read_suite(write(tmp_path, yaml, "suite.yaml")) == toml
    assert [each.name for each in toml.here] == ["golden"]
    assert toml.here[0].checks == CHECKS


def test_public_sets_come_from_the_folder_of_data(tmp_path: Path) -> None:
    (tmp_path / "claims.jsonl").write_text("{}\n", "utf-8")
    assert [each.name for each in read_suite(write(tmp_path, GOOD), tmp_path).here] == ["golden", "public"]


def test_our_suite_can_be_read_without_public_data() -> None:
    suite = read_suite(DEFAULT_SUITE)
    assert {"golden", "robustness", "counterfactual"} <= {each.name for each in suite.here}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seed = 3", "seed = ", "not TOML"),
        ("seed = 3", "seed = -1", "seed is -1"),
        ("seed = 3", "sed = 3", "unknown key 'sed'"),
        ('name = "small"', "", "name is None"),
        ('kind = "qa"', 'kind = "quiz"', "kind of \"golden\" is 'quiz'; use one of qa"),
        ('mode = "open"', 'mode = "ajar"', "mode of \"golden\" is 'ajar'"),
        ("size = 5", "size = -5", 'size of "golden" is -5'),
        ("size = 5", "sizes = 5", "set 1 has the unknown key 'sizes'"),
        ('"rows.jsonl"', '"none.jsonl"', 'the file of "golden" is missing: .*none.jsonl'),
        ('path = "rows.jsonl"', "", "needs either path .* or data"),
        ('name = "public"', 'name = "golden"', 'two sets are called "golden"'),
        ('mode = "open"', 'checks = ["upside-down"]', "checks of \"golden\" is 'upside-down'"),
    ],
)
def test_a_broken_suite_is_told_with_value_and_cure(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        read_suite(write(tmp_path, GOOD.replace(old, new, 1)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "3", "name: a\nsets: []\n", "a: [b"])
def test_a_suite_without_sets_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match=r"suite\.yaml"):
        read_suite(write(tmp_path, text, "suite.yaml"))


def test_a_suite_of_public_sets_alone_asks_for_their_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--data FOLDER"):
        read_suite(write(tmp_path, 'name = "a"\n[[sets]]\nname = "b"\nkind = "qa"\ndata = "c.jsonl"\n'))


def test_a_public_set_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match='the file of "public" is missing'):
        read_suite(write(tmp_path, GOOD), tmp_path)


def test_an_ending_that_is_no_suite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="a suite is a file in"):
        read_suite(tmp_path / "suite.txt")
