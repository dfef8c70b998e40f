"""Text to token ids and back: byte-level BPE, chat prompts, and text that streams out token by token.

Control tokens (<|im_start|>, <|im_end|>, ...) come in by id alone. Text that spells one, in a passage or a question,
stays text: nobody can close a turn or open another by writing it into a document.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from lm.errors import CheckpointBroken, CheckpointMissing, PromptInvalid

FILE_NAME = "tokenizer.json"
ROLES = ("system", "user", "assistant")

# SmolLM2's chat template puts this before a conversation that has no system message; the model was tuned with it.
DEFAULT_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

_TURN_START, _TURN_END, _TEXT_END = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
_GGUF_CONTROL = 3


@dataclass(frozen=True, slots=True)
class Message:
    """A turn of a chat; ``role`` is "system", "user" or "assistant"."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A byte-level BPE vocabulary as GGUF files hold it.

    ``tokens`` in id order, spelled in GPT-2's byte alphabet; ``kinds`` their GGUF token types (3 is control);
    ``merges`` "left right", best first; ``splitting`` names how text is cut into words before merging.
    """

    tokens: tuple[str, ...]
    kinds: tuple[int, ...]
    merges: tuple[str, ...]
    splitting: str


class Tokenizer:
    """The tokenizer of a model folder. Safe to use from several threads."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        """Raises ValueError when the vocabulary lacks the three tokens that chat prompts need."""
        backend.encode_special_tokens = True  # so "<|im_end|>" in a text is text
        backend.no_padding()
        backend.no_truncation()
        self._backend = backend
        self._control = {token.content: id for id, token in backend.get_added_tokens_decoder().items() if token.special}
        missing = [name for name in (_TURN_START, _TURN_END, _TEXT_END) if name not in self._control]
        if missing:
            raise ValueError(f"no control token {missing[0]}")
        self._turn_break = [self._control[_TURN_END], *self.encode("\n")]

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Read ``folder``/tokenizer.json; CheckpointMissing when there is none, CheckpointBroken when it is damaged."""
        path = folder / FILE_NAME
        if not path.is_file():
            raise CheckpointMissing(f"{path}: no such file; bring the model's folder again")
        try:
            return cls(tokenizers.Tokenizer.from_file(str(path)))
        # The package raises bare Exception for whatever it cannot read.
        except Exception as error:
            raise CheckpointBroken(f"{path}: not a tokenizer for chat ({error}); bring it again") from error

    @property
    def size(self) -> int:
        """Number of tokens; ids run from 0 to size - 1."""
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    @property
    def stop_ids(self) -> frozenset[int]:
        """Ids that end an answer: end of turn, end of text."""
        return frozenset((self._control[_TURN_END], self._control[_TEXT_END]))

    @property
    def control_ids(self) -> frozenset[int]:
        """Ids of all control tokens; `encode` never returns one of them."""
        return frozenset(self._control.values())

    def encode(self, text: str) -> list[int]:
        """Ids of ``text``, none of them a control token.

        `decode` gives the text back, but for bytes that the vocabulary lacks, which are dropped: in SmolLM2's those of
        six C0 control characters and of planes 4 to 11. Lone surrogates, which are no text, become U+FFFD.
        """
        try:
            encoding = self._backend.encode(text, add_special_tokens=False)
        except TypeError:  # what the package raises on a str that is no text
            whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            encoding = self._backend.encode(whole, add_special_tokens=False)
        return list(encoding.ids)

    def count(self, text: str) -> int:
        """Number of tokens `encode` makes of ``text``."""
        return len(self.encode(text))

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ``ids``; control tokens have none, incomplete UTF-8 becomes U+FFFD."""
        return b"".join(self.token_bytes(id) for id in ids).decode("utf-8", errors="replace")

    def token_bytes(self, id: int) -> bytes:
        """Bytes one token stands for, none for a control token; not always whole characters.

        Raises PromptInvalid for an id outside the vocabulary.
        """
        spelling = self._backend.id_to_token(id) if id >= 0 else None
        if spelling is None:
            raise PromptInvalid(f"token id {id} is not in the vocabulary of {self.size}: use this model's tokenizer")
        if spelling in self._control:
            return b""
        return bytes(_byte_of()[letter] for letter in spelling)

    def chat(self, messages: Sequence[Message]) -> list[int]:
        """Prompt that asks for the assistant's next turn, in SmolLM2's template (ChatML).

        Raises PromptInvalid on no messages at all or an unknown role.
        """
        if not messages:
            raise PromptInvalid("a chat of 0 messages: pass at least the user's question")
        if messages[0].role != "system":
            messages = [Message("system", DEFAULT_SYSTEM), *messages]
        ids: list[int] = []
        for message in messages:
            if message.role not in ROLES:
                raise PromptInvalid(f"role {message.role!r} is not one of {', '.join(ROLES)}: use one of them")
            ids += [self._control[_TURN_START], *self.encode(f"{message.role}\n{message.text}"), *self._turn_break]
        return [*ids, self._control[_TURN_START], *self.encode("assistant\n")]


class TextStream:
    """Text of tokens that arrive one by one. Holds back bytes until their UTF-8 character is whole."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, id: int) -> str:
        """Characters that ``id`` completes, possibly none."""
        return self._decoder.decode(self._tokenizer.token_bytes(id))

    def finish(self) -> str:
        """What is left when no token will follow: U+FFFD where a character stayed incomplete, else nothing."""
        return self._decoder.decode(b"", final=True)


def tokenizer_json(vocabulary: Vocabulary) -> str:
    """What to write into tokenizer.json; the format of the tokenizers package and of transformers.

    Raises ValueError when tokens and merges do not fit each other or ``splitting`` is not known.
    """
    ids = {token: id for id, token in enumerate(vocabulary.tokens)}
    merges = [(left, right) for left, _, right in (merge.partition(" ") for merge in vocabulary.merges)]
    if len(ids) != len(vocabulary.tokens) or len(vocabulary.kinds) != len(vocabulary.tokens):
        raise ValueError(f"{len(vocabulary.tokens)} tokens, {len(ids)} distinct, {len(vocabulary.kinds)} kinds")
    if broken := [merge for merge in merges if not all(merge) or "".join(merge) not in ids]:
        raise ValueError(f"merge {broken[0]} makes no token of the vocabulary")
    backend = tokenizers.Tokenizer(models.BPE(vocab=ids, merges=merges))
    backend.pre_tokenizer = _splitter(vocabulary.splitting)
    backend.decoder = decoders.ByteLevel()
    control = (token for token, kind in zip(vocabulary.tokens, vocabulary.kinds, strict=True) if kind == _GGUF_CONTROL)
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return str(backend.to_str(pretty=False))


def _splitter(name: str) -> pre_tokenizers.PreTokenizer:
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if name in ("gpt-2", "default"):
        return words
    if name == "smollm":  # every digit a word, then GPT-2's words
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), words])
    raise ValueError(f"splitting {name!r} is not known, only 'smollm' and 'gpt-2' are")


@cache
def _byte_of() -> dict[str, int]:
    # GPT-2's alphabet: bytes that print stand for themselves, the others for the characters from U+0100 on.
    printing = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printing]
    return {chr(byte): byte for byte in printing} | {chr(0x100 + i): byte for i, byte in enumerate(others)}
