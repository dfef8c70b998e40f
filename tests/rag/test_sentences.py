"""Spans are exact, cover every visible character, and come in time linear in the text."""

from __future__ import annotations

import random
import time

import pytest

from rag.sentences import LONGEST, sentences


def _texts(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


def _check(text: str) -> None:
    spans = sentences(text)
    reached = 0
    for start, end in spans:
        assert reached <= start < end <= len(text)
        assert end - start <= LONGEST
        assert text[start:end] == text[start:end].strip()
        assert not text[reached:start].strip()
        reached = end
    assert not text[reached:].strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Dr. Smith left at 5 p.m. yesterday. He took 3.5 kg.",
            ["Dr. Smith left at 5 p.m. yesterday.", "He took 3.5 kg."],
        ),
        ('"Is it safe? Yes." she said. Then she left.', ['"Is it safe? Yes." she said.', "Then she left."]),
        ("你好。再见！", ["你好。", "再见！"]),
        ("Il a dit non. Elle part.", ["Il a dit non.", "Elle part."]),
        ("Hi 😀 there. Next 👩‍👩‍👧 one.", ["Hi 😀 there.", "Next 👩‍👩‍👧 one."]),
        ("Heading\nBody text here.\n- one\n- two", ["Heading", "Body text here.", "- one", "- two"]),
        ("1. Open the lid. Wait.\n2. Close it.", ["1. Open the lid.", "Wait.", "2. Close it."]),
        ("Title\n\n\nBody.", ["Title", "Body."]),
        ("No end in sight", ["No end in sight"]),
    ],
)
def test_sentences_are_found(text: str, expected: list[str]) -> None:
    assert _texts(text) == expected


def test_a_line_wrapped_in_mid_sentence_is_not_a_break() -> None:
    text = "The lamp on the housing blinks red twice when the\nbattery is low. Charge it."
    assert _texts(text) == ["The lamp on the housing blinks red twice when the\nbattery is low.", "Charge it."]


@pytest.mark.parametrize(
    "text", ["", " \n\t ", "\x00", "\ud800\udc00 x. Y.", "\x00.\x00", "é. \u0301", "1.", "-", "\u2028"]
)
def test_odd_strings_are_taken(text: str) -> None:
    _check(text)


def test_random_strings_are_covered_exactly() -> None:
    rng = random.Random(7)
    alphabet = [
        "a",
        "B",
        ". ",
        "! ",
        "\n",
        "\n\n",
        "  ",
        '"',
        "(",
        ")",
        "。",
        "😀",
        "1.",
        "- ",
        "\ud800",
        "e.g. ",
        "x" * 400,
    ]
    for _ in range(300):
        _check("".join(rng.choices(alphabet, k=rng.randrange(60))))


@pytest.mark.parametrize(
    "piece",
    ["x", "a ", "你", "«a. b ", "“a. ", "\n", " ", "Hi. ", ("x" * 45 + "\ny"), "😀"],
    ids=[
        "letters",
        "words",
        "cjk",
        "unclosed-guillemets",
        "unclosed-quotes",
        "breaks",
        "blanks",
        "short",
        "wrapped",
        "emoji",
    ],
)
def test_a_megabyte_takes_seconds_at_most(piece: str) -> None:
    """600 kB of unclosed guillemets took sentencex alone 26 s: its time grows with their square. Windows bound that.

    The limit is some ten times what a slow machine needs, so that only another growth rate can break it.
    """
    text = piece * (1_000_000 // len(piece))
    started = time.perf_counter()
    spans = sentences(text)
    assert time.perf_counter() - started < 20
    assert all(0 < end - start <= LONGEST for start, end in spans)


def test_a_run_on_is_cut_at_a_clause() -> None:
    text = ", ".join(["one clause of the run-on"] * 100)
    pieces = _texts(text)
    assert len(pieces) > 1
    assert all(piece.endswith((",", "run-on")) for piece in pieces)
