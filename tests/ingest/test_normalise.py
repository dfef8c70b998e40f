from __future__ import annotations

import random
import time
import unicodedata

import pytest

from ingest.normalise import clean, code, inline, lines


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("a\x00b\x07", "ab"),
        ("e\u0301", "é"),
        ("soft\u00adhyphen zero\u200bwidth \ufeffmark", "softhyphen zerowidth mark"),
        ("a\u00a0\u2003b", "a b"),
        ("a\r\nb\rc\u2028d", "a b c d"),
        ("x\ud800y", "x\ufffdy"),
        ("evil\u202etxt", "eviltxt"),
        ("\U000e0041\U000e0042hidden", "hidden"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_inline(raw: str, expected: str) -> None:
    assert inline(raw) == expected


def test_lines_keep_breaks_but_at_most_two() -> None:
    assert lines("  a  b \r\n\r\n\r\n\r\n c\t d \n") == "a b\n\nc d"


def test_code_keeps_indentation() -> None:
    assert code("\n    def f():\n    \treturn  1   \n\n\n\n    x\n") == "def f():\n    return  1\n\nx"


def test_a_mark_after_a_dropped_character_composes() -> None:
    assert clean("e\u200b\u0301") == "é"


@pytest.mark.parametrize("form", [inline, lines, code, clean])
def test_normalising_twice_changes_nothing(form: object) -> None:
    assert callable(form)
    rng = random.Random(1)
    alphabet = "a e\u0301\n\t\r \u00a0\u200b\u2028\ud800\x00é\u0327 ᄀ가\u11a8\uf900"
    for _ in range(500):
        once = form("".join(rng.choices(alphabet, k=rng.randrange(40))))
        assert form(once) == once
        assert unicodedata.is_normalized("NFC", once)


@pytest.mark.parametrize("text", [" " * 1_000_000 + "x", "\n" * 1_000_000 + "x", "x" + "\t" * 200_000 + "y"])
def test_long_blank_runs_take_linear_time(text: str) -> None:
    started = time.perf_counter()
    for form in (inline, lines, code):
        form(text)
    assert time.perf_counter() - started < 10
