"""Of a long passage the sentences nearest to the question are read, in their order, and never too many."""

from __future__ import annotations

import random

import numpy as np
import pytest
from tokenizers import Tokenizer

from rag.key_sentences import Asked, key_tokens
from rag.words import content_stems
from tests.tiny_bert import make_tiny_bert

QUESTION = "When do the heaters of the tower switch on?"
FILLER = "Nobody had expected such a thing from the quiet people of this valley."


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.from_file(str(make_tiny_bert(tmp_path_factory.mktemp("base")) / "tokenizer.json"))


def places(tokenizer: Tokenizer, question: str, text: str, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The tokens read, and the offsets of all."""
    encoding = tokenizer.encode(text, add_special_tokens=False)
    offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
    return key_tokens(Asked(question), text, offsets, most), offsets


def kept(tokenizer: Tokenizer, question: str, text: str, most: int) -> str:
    """The characters that are read, a space for each gap."""
    found, offsets = places(tokenizer, question, text, most)
    assert len(found) <= most
    assert (np.diff(found) > 0).all()
    runs = np.split(found, np.flatnonzero(np.diff(found) > 1) + 1)
    return " | ".join(text[offsets[run[0], 0] : offsets[run[-1], 1]] for run in runs if len(run))


def test_a_short_passage_is_read_whole(tokenizer: Tokenizer) -> None:
    found, offsets = places(tokenizer, QUESTION, f"Towers\n{FILLER}", 500)
    assert found.tolist() == list(range(len(offsets)))
    assert places(tokenizer, QUESTION, "", 5)[0].tolist() == []


def test_the_heading_and_the_sentences_asked_for_are_read_in_their_order(tokenizer: Tokenizer) -> None:
    first, second = "The heater switches on below three degrees.", "It heats the tower all winter."
    text = f"Weather station\n{FILLER} {first} {FILLER} {FILLER} {second} {FILLER}"
    tokens = sum(
        len(tokenizer.encode(part, add_special_tokens=False).ids) for part in ("Weather station", first, second)
    )
    assert kept(tokenizer, QUESTION, text, tokens) == f"Weather station | {first} | {second}"


def test_a_word_that_is_there_already_counts_less_than_a_new_one(tokenizer: Tokenizer) -> None:
    again, new = "The heater is a heater.", "At night it is switched."
    text = f"Heater\n{again} {FILLER} {new}"
    room = len(tokenizer.encode(f"Heater {new}", add_special_tokens=False).ids)
    assert kept(tokenizer, QUESTION, text, room) == f"Heater | {new}"


def test_without_a_word_in_common_the_beginning_is_read(tokenizer: Tokenizer) -> None:
    text = "\n" + " ".join(f"{number} {FILLER}" for number in range(40))
    for question in ("Quetzalcoatl?", "", "the of and"):
        found, _ = places(tokenizer, question, text, 50)
        assert found.tolist() == list(range(len(found)))
        assert 40 < len(found) <= 50


def test_what_has_no_sentences_is_read_in_parts(tokenizer: Tokenizer) -> None:
    text = "\n" + "river " * 150 + "heater tower switch " + "river " * 150
    assert "heater tower switch" in kept(tokenizer, QUESTION, text, 60)


def test_a_heading_leaves_half_the_room(tokenizer: Tokenizer) -> None:
    text = "long heading " * 100 + "\nThe heater switches on."
    assert kept(tokenizer, QUESTION, text, 40).endswith("The heater switches on.")


def test_stems_are_those_of_the_whole_text() -> None:
    asked = Asked("How many 1,000 batteries did the firm's seven running heaters use (in 2,500 hours)?")
    text = "The battery of a heater ran; 2500 hours, seven firms and 1000 batteries. The runs go on."
    assert asked.shared(text) == asked.stems.intersection(content_stems(text))
    assert asked.shared(text) >= {"1000", "2500", "battery", "firm", "run", "hour"}
    assert asked.shared("Battle of the heat") == asked.stems.intersection(content_stems("heat"))


@pytest.mark.parametrize("seed", range(20))
def test_any_text_is_taken(tokenizer: Tokenizer, seed: int) -> None:
    draw = random.Random(seed)
    alphabet = "a heater tower. \n\t!?\x00é\u0301東京\U0001f600\"'(1,0"
    for _ in range(30):
        text = "".join(draw.choices(alphabet, k=draw.randrange(400)))
        question = "".join(draw.choices(alphabet, k=draw.randrange(40)))
        most = draw.randrange(1, 60)
        found, offsets = places(tokenizer, question, text, most)
        assert len(found) <= most
        assert len(offsets) == 0 or len(found) > 0
        assert len(set(found.tolist())) == len(found)
        assert all(0 <= place < len(offsets) for place in found)
