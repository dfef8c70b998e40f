"""The prompt that every generator gets, and the reading of what it wrote; training makes its examples here too.

A prompt is a chat: a system message with the rules, then one user message with the numbered passages, the earlier turns
of the conversation and the question. The answer ends its sentences with the number of the passage used, "[2]", or is
NO_ANSWER when the passages do not hold it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lm.tokenizer import Message
from rag.types import Passage, Question

SYSTEM = "Answer briefly from the passages and cite, like [1]. If they lack the answer, say: Not in the documents."
NO_ANSWER = "Not in the documents."

_MARKER = re.compile(r"\s*\[(\d{1,2})\]")
_LABEL = re.compile(r"^\s*(?:answer|the answer is)\s*:\s*", re.IGNORECASE)
_MAX_HISTORY_TURNS = 4
_MAX_TURN_CHARS = 500


@dataclass(frozen=True, slots=True)
class Prompt:
    """The chat to complete, and which passages it shows, in their order: passage n of the text is passages[n - 1]."""

    messages: tuple[Message, ...]
    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """What the generator wrote, without markers: ``cited`` holds the numbers (from 1) of the passages it named."""

    text: str
    cited: tuple[int, ...]
    refused: bool


def build_prompt(
    question: Question, passages: Sequence[Passage], budget: int, count_tokens: Callable[[Sequence[str]], list[int]]
) -> Prompt:
    """The prompt for ``question`` with as many of ``passages``, in order, as fit into ``budget`` tokens.

    The first passage always goes in, cut to the budget if it must be; a later one that does not fit is left out.
    """
    chosen = _fitting(passages, budget, count_tokens)
    blocks = [_block(number, passage) for number, passage in enumerate(chosen, start=1)]
    user = "\n\n".join([*blocks, *_history(question), f"Question: {question.text.strip()}"])
    return Prompt((Message("system", SYSTEM), Message("user", user)), chosen)


def _fitting(
    passages: Sequence[Passage], budget: int, count_tokens: Callable[[Sequence[str]], list[int]]
) -> tuple[Passage, ...]:
    if not passages:
        return ()
    lengths = count_tokens([_block(1, passage) for passage in passages])
    first, left = passages[0], budget - lengths[0]
    if left < 0:
        kept = max(1, len(first.text) * budget // lengths[0])
        first = replace(first, text=first.text[:kept], end=first.start + kept)
    chosen = [first]
    for passage, length in zip(passages[1:], lengths[1:], strict=True):
        if length <= left:
            chosen.append(passage)
            left -= length
    return tuple(chosen)


def parse_answer(written: str, passage_count: int) -> ParsedAnswer:
    """Read what a generator wrote: first paragraph, label and passage markers taken off, refusal told.

    Markers that name no passage are dropped, so an invented "[7]" never becomes a citation.
    """
    first = written.strip().split("\n\n")[0].strip()
    numbers = (int(match) for match in _MARKER.findall(first))
    cited = tuple(dict.fromkeys(number for number in numbers if 1 <= number <= passage_count))
    text = " ".join(_LABEL.sub("", _MARKER.sub("", first)).split())
    refused = not text or text.lower().startswith(NO_ANSWER.lower().rstrip("."))
    return ParsedAnswer("" if refused else text, () if refused else cited, refused)


def _block(number: int, passage: Passage) -> str:
    title = passage.heading or passage.title
    return f"[{number}] {title}\n{passage.text}" if title else f"[{number}] {passage.text}"


def _history(question: Question) -> list[str]:
    turns = question.history[-_MAX_HISTORY_TURNS:]
    if not turns:
        return []
    lines = [f"{turn.role}: {turn.text[:_MAX_TURN_CHARS]}" for turn in turns]
    return ["Conversation so far:\n" + "\n".join(lines)]
