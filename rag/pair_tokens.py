"""Two texts as one row of token ids, with the characters that each token stands for; training and serving share it.

    [CLS] question [SEP] claim [SEP] passage [SEP]        types 0 up to the second [SEP], then 1

Empty parts are left out with their separator. Offsets are characters of the text as given, whatever the tokenizer
lower-cases or takes accents off. T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from rag.types import InvalidInput, ModelBroken

_AT_ONCE = 512  # texts given to the tokenizer together; bounds the memory of its own records

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pieces:
    """Ids of a text, (T,), and the characters [start, end) of each, (T, 2)."""

    ids: Ids
    spans: Ids

    def __len__(self) -> int:
        return len(self.ids)

    def cut(self, first: int, last: int) -> Pieces:
        """Tokens [first, last)."""
        return Pieces(self.ids[first:last], self.spans[first:last])


@dataclass(frozen=True, slots=True)
class Pair:
    """A row for a pair encoder. ``second_at`` is the place of the passage's first token; ``claim_at`` of the claim's.

    The claim ends, and its separator stands, before ``second_at``; the passage ends before the last token.
    """

    ids: Ids
    claim_at: int
    second_at: int

    def __len__(self) -> int:
        return len(self.ids)


class PairTokenizer:
    """WordPiece with offsets; safe to share between threads, since it is never reconfigured."""

    def __init__(self, path: Path) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises no narrower one, whatever is wrong with the file
            raise ModelBroken(f"{path} cannot be read ({error}); run: answerable models pull") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.first, self.separator = self._tokenizer.encode("", add_special_tokens=True).ids

    def read(self, texts: Sequence[str]) -> list[Pieces]:
        """Tokens of each text, uncut, without special ones. Raises InvalidInput for what is no text."""
        found: list[Pieces] = []
        for start in range(0, len(texts), _AT_ONCE):
            part = [_valid(text) for text in texts[start : start + _AT_ONCE]]
            found += [
                Pieces(np.array(tokens.ids, dtype=np.int64), np.array(tokens.offsets, dtype=np.int64).reshape(-1, 2))
                for tokens in self._tokenizer.encode_batch(part, add_special_tokens=False)
            ]
        return found

    def pair(self, question: Ids, claim: Ids, passage: Ids) -> Pair:
        """The row of a question, a claim (either may be empty) and a passage."""
        head: list[int] = [self.first, *question]
        if len(question) and len(claim):
            head.append(self.separator)
        claim_at = len(head)
        head += [*claim, self.separator]
        return Pair(np.array([*head, *passage, self.separator], dtype=np.int64), claim_at, len(head))


def token_windows(count: int, room: int, overlap: int) -> list[tuple[int, int]]:
    """[first, last) of windows of at most ``room`` tokens over ``count``, neighbours sharing ``overlap``; one at least.

    The last window is moved back so that it is as long as the others.
    """
    if count <= room:
        return [(0, count)]
    starts = range(0, count - room + (room - overlap), room - overlap)
    return [(min(start, count - room), min(start, count - room) + room) for start in starts]


def _valid(text: str) -> str:
    """The text, lone surrogates, which no encoding can carry, replaced one for one. Raises InvalidInput."""
    if not isinstance(text, str):
        raise InvalidInput(f"cannot read {text!r}: it is {type(text).__name__}, not text")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
