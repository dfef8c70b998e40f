"""Text that ends before a stop string, wherever the borders of its tokens fall."""

from __future__ import annotations

from collections.abc import Sequence

from lm.errors import DecodingInvalid
from lm.tokenizer import TextStream


class Until:
    """A `lm.tokenizer.TextStream` that ends before the first stop string. Holds back what may be the start of one.

    The first is the one that is complete first, at the same character the longer one: how the text is cut into tokens
    changes nothing.
    """

    def __init__(self, stream: TextStream, stops: Sequence[str]) -> None:
        """Raises DecodingInvalid for an empty stop string."""
        if "" in stops:
            raise DecodingInvalid("a stop string of 0 characters would end every answer at once: leave it out")
        self._stream = stream
        self._stops = tuple(stops)
        self._held = ""
        self.done = False  # whether a stop string has come: nothing is to follow

    def push(self, id: int) -> str:
        """Characters that are known to be of the answer now that ``id`` has come, possibly none."""
        return self._take(self._stream.push(id))

    def finish(self) -> str:
        """What is left when no token will follow."""
        text = self._take(self._stream.finish()) + self._held
        self._held = ""
        return text

    def _take(self, text: str) -> str:
        if self.done:
            return ""
        text = self._held + text
        found = [(text.find(stop) + len(stop), text.find(stop)) for stop in self._stops if stop in text]
        if found:
            self.done, self._held = True, ""
            return text[: min(found)[1]]
        held = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that begins ``stop``."""
    longest = min(len(text), len(stop) - 1)
    return next((length for length in range(longest, 0, -1) if text.endswith(stop[:length])), 0)
