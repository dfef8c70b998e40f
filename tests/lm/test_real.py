"""The base decoder itself: transformers' logits, its own chat, and the int8 export's greedy tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from lm.checkpoint import load
from lm.config import read_config
from lm.decode import greedy
from lm.engine import INT8_FOLDER, Engine, load_engine
from lm.model import Decoder
from lm.openvino_engine import OpenVinoEngine
from lm.tokenizer import Message, TextStream, Tokenizer

pytestmark = pytest.mark.models

PASSAGES = (
    "The Kestrel 40 pump is covered by a warranty of 24 months from the date of delivery. Wear parts (seals, filters "
    "and the impeller) are covered for 6 months. A claim needs the serial number and the date of purchase.",
    "Employees accrue 2.5 days of leave a month. Up to 5 days may be carried into next year; they lapse on 31 March.",
    "Die Wartung erfolgt alle 500 Betriebsstunden. Größere Schäden — etwa am Gehäuse — meldet die Werkstatt sofort.",
)
QUESTIONS = (
    "How long is the warranty?",
    "What happens to leave that is not taken?",
    "Wie oft ist die Wartung fällig?",
    "What should be done when something breaks?",
    "Who approves this, and by when?",
)


@pytest.fixture(scope="module")
def tokenizer(decoder_folder: Path) -> Tokenizer:
    return Tokenizer.load(decoder_folder)


@pytest.fixture(scope="module")
def model(decoder_folder: Path) -> Decoder:
    return load(decoder_folder)


def prompt(tokenizer: Tokenizer, passage: str, question: str) -> list[int]:
    instruction = Message("system", "Answer the question from the passage, in one sentence.")
    return tokenizer.chat([instruction, Message("user", f"Passage: {passage}\n\nQuestion: {question}")])


def test_logits_are_those_of_transformers(decoder_folder: Path, model: Decoder, tokenizer: Tokenizer) -> None:
    theirs = LlamaForCausalLM.from_pretrained(decoder_folder, dtype=torch.float32).eval()
    for passage, question in zip(PASSAGES, QUESTIONS, strict=False):
        ids = torch.tensor([prompt(tokenizer, passage, question)])
        with torch.inference_mode():
            assert (model(ids) - theirs(ids).logits).abs().max() < 1e-3


def test_it_answers_a_plain_question(decoder_folder: Path, tokenizer: Tokenizer) -> None:
    # Fluent nonsense is what a wrong row order of q and k, or a wrong template, looks like.
    stream = TextStream(tokenizer)
    ids = tokenizer.chat([Message("user", "What is the capital of France?")])
    steps = greedy(load_engine(decoder_folder), ids, 24, tokenizer.stop_ids)
    assert "Paris" in "".join(stream.push(step.token) for step in steps) + stream.finish()


@pytest.mark.parametrize(
    "text", [*PASSAGES, "<|im_end|>\n<|im_start|>system", "2018  11 \u2603 größer 保証 \U0001f642"]
)
def test_texts_survive_the_vocabulary(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert not tokenizer.control_ids.intersection(ids)


def test_bytes_the_vocabulary_lacks_are_dropped(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\x04b\x1dc")) == "abc"


def test_int8_greedy_tokens_on_three_prompts(decoder_folder: Path, model: Decoder, tokenizer: Tokenizer) -> None:
    engine = load_engine(decoder_folder)
    assert isinstance(engine, OpenVinoEngine)
    for passage, question in zip(PASSAGES, QUESTIONS, strict=False):
        assert follows_torch(model, engine, prompt(tokenizer, passage, question), 16, tokenizer.stop_ids)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_int8_greedy_tokens_on_100_prompts(decoder_folder: Path, model: Decoder, tokenizer: Tokenizer) -> None:
    # In f32, reading too: the base has no answer in mind and turns at a hair. What is shipped is compared as it is run,
    # in tests/rag/test_generate.py.
    config = read_config(decoder_folder)
    engine = OpenVinoEngine(decoder_folder / INT8_FOLDER, config, {"INFERENCE_PRECISION_HINT": "f32"})
    wanted = list(islice(prompts(tokenizer), 100))
    assert len(wanted) == 100
    equal = sum(follows_torch(model, engine, ids, 32, tokenizer.stop_ids) for ids in wanted)
    assert equal >= 95, f"{equal} of 100 prompts have torch's greedy tokens"


def follows_torch(model: Decoder, engine: Engine, ids: list[int], count: int, stop_ids: frozenset[int]) -> bool:
    """Whether every token of the engine's answer, the end included, is torch's fp32 choice after those before it.

    By induction that is: whether torch's greedy answer is the same. One forward instead of one a token.
    """
    answer = [step.token for step in greedy(engine, ids, count, stop_ids)]
    with torch.inference_mode():
        at = torch.arange(len(ids) - 1, len(ids) + len(answer))
        choices = model(torch.tensor([[*ids, *answer]]), at=at)[0].argmax(-1).tolist()
    return choices[:-1] == answer and (len(answer) == count or choices[-1] in stop_ids)


def prompts(tokenizer: Tokenizer) -> Iterator[list[int]]:
    """Prompts of 100 to 600 tokens from windows of the example documents."""
    root = Path(__file__).resolve().parents[2]
    files = sorted((root / "examples").rglob("*.md"))
    texts = [path.read_text(encoding="utf-8") for path in files]
    questions = cycle(QUESTIONS)
    # Rounds over the documents with windows of other lengths, so that few documents make many prompts.
    for size in (700, 1100, 500, 1500, 900, 600, 1300):
        for text in texts:
            for start in range(0, max(len(text) - size // 2, 1), size):
                ids = prompt(tokenizer, re.sub(r"\n{2,}", "\n", text[start : start + size]), next(questions))
                if 100 <= len(ids) <= 600:
                    yield ids
