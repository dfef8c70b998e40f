"""Any text checked against given passages or against a collection: what /v1/verify and `answerable verify` do."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from rag.pipeline import Pipeline, is_text
from rag.prompt import ParsedAnswer
from rag.sentences import sentences
from rag.types import Claim, InvalidInput, Passage

MAX_TEXT_CHARS = 200_000
MAX_SENTENCES = 1000
MAX_PASSAGES = 100
MAX_PASSAGE_CHARS = 1_000_000  # of all passages together
_HITS = 5  # passages looked up for each sentence of a text that is checked against a collection


def check_given(pipeline: Pipeline, text: str, passages: Sequence[str], question: str = "") -> tuple[Claim, ...]:
    """Each sentence of ``text`` judged against ``passages``, which are cited by their place, "passage-1" and so on.

    Raises InvalidInput for a text without words or longer than is taken, and for too many or too long passages.
    """
    check_text(text, pipeline.limits.max_question_chars, question)
    total = sum(map(len, passages))
    if len(passages) > MAX_PASSAGES or total > MAX_PASSAGE_CHARS:
        raise InvalidInput(
            f"{len(passages)} passages of {total} characters: at most {MAX_PASSAGES} of {MAX_PASSAGE_CHARS} together "
            "are taken; ingest them and verify against the collection"
        )
    if not all(map(is_text, passages)):
        raise InvalidInput("a passage holds half of a character (a lone surrogate); send it as UTF-8")
    given = [_given(number, passage) for number, passage in enumerate(passages, start=1)]
    return pipeline.check(question, ParsedAnswer(text, (), refused=False), given)


def check_against(pipeline: Pipeline, text: str, collection: str, question: str = "") -> tuple[Claim, ...]:
    """Each sentence of ``text`` judged against the passages that a search for it finds in ``collection``.

    Raises InvalidInput as check_given does, NotFound, EncoderChanged, StoreUnavailable.
    """
    check_text(text, pipeline.limits.max_question_chars, question)
    retriever = pipeline.retriever
    rows = retriever.store.collections.get(collection)
    claims: list[Claim] = []
    for start, end in sentences(text):
        sentence = text[start:end]
        wanted = sentence[: pipeline.limits.max_question_chars]
        found = retriever.search(f"{question} {wanted}".strip(), rows, _HITS)
        passages = [hit.passage for hit in found]
        claims += [
            _moved(claim, start) for claim in pipeline.check(question, ParsedAnswer(sentence, (), False), passages)
        ]
    return tuple(claims)


def check_text(text: str, max_question_chars: int, question: str) -> None:
    """Raises InvalidInput for a text or a question that cannot be taken."""
    if not any(character.isalnum() for character in text):
        raise InvalidInput("the text holds no words; give sentences to verify")
    if not is_text(text) or not is_text(question):
        raise InvalidInput("the text holds half of a character (a lone surrogate); send it as UTF-8")
    if len(text) > MAX_TEXT_CHARS:
        raise InvalidInput(f"the text has {len(text)} characters, at most {MAX_TEXT_CHARS} are taken; send it in parts")
    if len(question) > max_question_chars:
        raise InvalidInput(f"the question has {len(question)} characters, at most {max_question_chars} are taken")
    if (count := len(sentences(text))) > MAX_SENTENCES:
        raise InvalidInput(f"the text has {count} sentences, at most {MAX_SENTENCES} are taken; send it in parts")


def _given(number: int, text: str) -> Passage:
    name = f"passage-{number}"
    digest = hashlib.sha256(text.encode()).hexdigest()[:20]
    return Passage(0, digest, name, name, 0, len(text), text)


def _moved(claim: Claim, offset: int) -> Claim:
    unsupported = tuple((start + offset, end + offset) for start, end in claim.unsupported)
    return Claim(
        claim.text,
        claim.start + offset,
        claim.end + offset,
        claim.support,
        claim.verdict,
        claim.citations,
        unsupported,
    )
