"""Stop strings, however the text is cut into tokens, against plain search and against transformers' generate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from lm.decode import greedy
from lm.errors import DecodingInvalid
from lm.stop import Until
from lm.tokenizer import TextStream, Tokenizer
from lm.torch_engine import TorchEngine


class Pieces(TextStream):
    """A text stream of pieces that are given, token 0 the first."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self._pieces = pieces

    def push(self, id: int) -> str:
        return self._pieces[id]

    def finish(self) -> str:
        return ""


def read(pieces: Sequence[str], stops: Sequence[str]) -> tuple[str, int]:
    """The text that comes out, and how many pieces went in until it was done."""
    until, text = Until(Pieces(pieces), stops), ""
    for count, place in enumerate(range(len(pieces)), start=1):
        text += until.push(place)
        if until.done:
            return text + until.finish(), count
    return text + until.finish(), len(pieces)


@pytest.mark.parametrize(
    ("pieces", "stops", "text", "count"),
    [
        (["ab", "cd", "ef"], ["cd"], "ab", 2),
        (["ab", "cd", "ef"], ["bcde"], "a", 3),
        (["a\n", "\nb"], ["\n\n"], "a", 2),
        (["xEND"], ["END"], "x", 1),
        (["xEN", "x"], ["END"], "xENx", 2),
        (["EN", "EN", "D"], ["END"], "EN", 3),  # a false start inside the true one
        (["aab", "aa", "c"], ["aabaac"], "", 3),
        (["abc"], [], "abc", 1),
        (["ab", ""], ["bx"], "ab", 2),  # what was held back comes out at the end
        (["abcd"], ["abcd", "bc"], "a", 1),  # complete first
        (["xabcd"], ["bcd", "abcd"], "x", 1),  # complete at once: the longer
        (["hello"], ["hello"], "", 1),
    ],
)
def test_the_text_before_the_first_stop_string(pieces: list[str], stops: list[str], text: str, count: int) -> None:
    assert read(pieces, stops) == (text, count)


def test_how_the_text_is_cut_changes_nothing() -> None:
    random = np.random.default_rng(6)
    ended = 0
    for _ in range(500):
        text = "".join(random.choice(list("ab"), size=24))
        stops = ["".join(random.choice(list("ab"), size=random.integers(1, 9))) for _ in range(3)]
        ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
        first = min(ends, default=0)
        expected = (
            min((text[: text.find(stop)] for stop in stops if text.find(stop) + len(stop) == first), key=len)
            if ends
            else text
        )
        cuts = sorted(random.integers(0, 25, size=6).tolist())
        pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, 24], strict=True)]
        assert read(pieces, stops)[0] == read(list(text), stops)[0] == read([text], stops)[0] == expected
        ended += bool(ends)
    assert 100 < ended < 500


def test_nothing_of_a_stop_string_is_ever_shown() -> None:
    until = Until(Pieces(["ab", "c", "d"]), ["bcd"])
    assert [until.push(0), until.push(1), until.push(2)] == ["a", "", ""]
    assert until.done
    assert (until.push(0), until.finish()) == ("", "")


def test_text_is_that_of_generate(tiny_folder: Path, tokenizer: Tokenizer) -> None:
    theirs = LlamaForCausalLM.from_pretrained(tiny_folder).eval()
    theirs.generation_config.eos_token_id = None
    theirs.generation_config.pad_token_id = 0
    their_tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tiny_folder / "tokenizer.json"))
    engine = TorchEngine(tiny_folder)
    prompt = tokenizer.encode("The warranty covers")
    plain = tokenizer.decode(step.token for step in greedy(engine, prompt, 60, frozenset()))
    stops = [plain[start : start + size] for start in range(5, len(plain) - 8, 3) for size in (2, 5)]
    stops = [stop for stop in stops if stop.isascii() and stop.isprintable()]
    assert len(stops) > 4
    for stop in stops:
        expected = theirs.generate(
            torch.tensor([prompt]), max_new_tokens=60, do_sample=False, stop_strings=[stop], tokenizer=their_tokenizer
        )[0, len(prompt) :].tolist()
        until, text, count = Until(TextStream(tokenizer), [stop]), "", 0
        for step in greedy(engine, prompt, 60, frozenset()):
            text, count = text + until.push(step.token), count + 1
            if until.done:
                break
        assert count == len(expected)
        assert text == tokenizer.decode(expected).partition(stop)[0]


def test_an_empty_stop_string(tokenizer: Tokenizer) -> None:
    with pytest.raises(DecodingInvalid, match="stop string of 0 characters"):
        Until(TextStream(tokenizer), ["a", ""])
