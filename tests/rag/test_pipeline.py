"""From question to answer or refusal: order of events, citations that round-trip, questions that cannot be asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.generate import Piece
from rag.pair_tokens import Pair, PairTokenizer
from rag.pipeline import Answered, ClaimChecked, Limits, PassagesFound, TextWritten, page_at
from rag.policy import REFUSAL, Policy, replaceable
from rag.prompt import NO_ANSWER, ParsedAnswer, Prompt
from rag.reader import Calibration, Reader
from rag.store import Source
from rag.types import Chunk, InvalidInput, NotFound, Page, ParsedDocument, Passage, Question, Verdict
from rag.wire import answer_json
from tests.fakes import EchoGenerator, Shelf
from tests.pairs import write_base

TEXTS = {
    "/heater.txt": "The heater switches on below three degrees. It draws nine watts.",
    "/battery.txt": "The battery lasts a year in the field.",
}


class Says(EchoGenerator):
    """Writes what it was told to, whatever the prompt."""

    def __init__(self, text: str):
        self._text = text

    def stream(self, prompt: Prompt, max_new_tokens: int, refuse_at: float) -> Iterator[Piece]:
        yield Piece(self._text, 0.5)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf.open(tmp_path)
    shelf.put(TEXTS)
    return shelf


def test_an_answer_is_cited_to_exact_characters(shelf: Shelf) -> None:
    answer = shelf.pipeline().answer(Question("When does the heater switch on? Below three degrees?"))
    assert not answer.abstained
    assert answer.answer == "The heater switches on below three degrees."
    (claim,) = answer.claims
    assert answer.answer[claim.start : claim.end] == claim.text
    assert claim.verdict is Verdict.SUPPORTED and claim.support == answer.support == 1.0
    for citation in claim.citations:
        assert shelf.store.documents.get(citation.document_id).text[citation.start : citation.end] == citation.quote
    assert answer.usage.completion_tokens > 0
    assert answer.timings_ms.total >= answer.timings_ms.generate


def test_events_come_in_order(shelf: Shelf) -> None:
    events = list(shelf.pipeline().events(Question("When does the heater switch on below degrees?")))
    kinds = [type(event) for event in events]
    assert kinds[0] is PassagesFound and kinds[-1] is Answered
    assert kinds == sorted(kinds, key=[PassagesFound, TextWritten, ClaimChecked, Answered].index)
    written = "".join(event.text for event in events if isinstance(event, TextWritten))
    assert isinstance(events[-1], Answered) and written.startswith(events[-1].answer.answer)


def test_support_is_that_of_the_weakest_sentence(shelf: Shelf) -> None:
    pipeline = shelf.pipeline(Says("The heater draws nine watts. The moon orbits nine moons."))
    answer = pipeline.answer(Question("What does the heater draw? nine watts below three degrees"))
    assert [claim.verdict for claim in answer.claims] == [Verdict.SUPPORTED, Verdict.UNSUPPORTED]
    assert answer.support == min(claim.support for claim in answer.claims)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Not in the documents.", "the generator found no answer"),
        ("", "the generator found no answer"),
        ("Quite another matter entirely.", "no sentence of the answer is supported"),
    ],
)
def test_refusals_name_their_reason_and_keep_the_passages(shelf: Shelf, text: str, reason: str) -> None:
    answer = shelf.pipeline(Says(text)).answer(Question("When does the heater switch on below three degrees?"))
    assert answer.abstained and answer.answer == REFUSAL
    assert reason in answer.reason
    assert answer.claims == () and answer.support == 0.0 and len(answer.passages) == 3


def test_nothing_near_means_refusing_before_a_word_is_written(shelf: Shelf) -> None:
    pipeline = shelf.pipeline(Says("Made up."))
    pipeline = replace(pipeline, policy=replace(pipeline.policy, min_similarity=0.99))
    answer = pipeline.answer(Question("zebra"))
    assert answer.abstained and "no passage is near" in answer.reason
    assert answer.usage.completion_tokens == 0


def test_an_empty_collection_is_refused(tmp_path: Path) -> None:
    shelf = Shelf.open(tmp_path)
    shelf.put({})
    assert "no document" in shelf.pipeline().answer(Question("anything?")).reason


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (Question(""), "empty"),
        (Question(" \n\t"), "empty"),
        (Question("half \ud83c of a character"), "lone surrogate"),
        (Question("x" * 100_000), "100000 characters, at most 4000"),
        (Question("x", top_k=0), "top_k is 0"),
        (Question("x", top_k=51), "top_k is 51"),
    ],
)
def test_questions_that_cannot_be_asked(shelf: Shelf, question: Question, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        shelf.pipeline().answer(question)


def test_a_collection_that_is_not_there(shelf: Shelf) -> None:
    with pytest.raises(NotFound, match="'nope' does not exist"):
        shelf.pipeline().answer(Question("x", collection="nope"))


def test_given_passages_are_read_without_a_search(shelf: Shelf) -> None:
    from rag.types import Passage

    text = "The turbine was built in 1901."
    passages = [Passage(0, "p", "T", "p", 0, len(text), text)]
    *_, last = shelf.pipeline().events_from(Question("When was the turbine built in 1901?"), passages)
    assert isinstance(last, Answered) and last.answer.answer == text
    assert last.answer.claims[0].citations[0].quote == text


def test_citations_name_the_page_of_the_sentence_not_of_the_chunk(tmp_path: Path) -> None:
    """A chunk may run over a page break; its sentences are cited with the page that each stands on."""
    shelf = Shelf.open(tmp_path)
    text = "First page words here.\nThe heater is on the second page."
    target = shelf.store.collections.ensure("default", shelf.retriever.encoder.fingerprint, 64)
    part = Chunk(0, len(text), text, page=1)
    parsed = ParsedDocument("M", text, "pdf/1", pages=(Page(1, 0, 23), Page(2, 23, len(text))))
    vectors = shelf.retriever.encoder.encode([text])
    shelf.store.documents.put(target, Source("/m.pdf", "h"), parsed, [part], vectors)
    answer = shelf.pipeline().answer(Question("Where is the heater on the second page?"))
    assert [citation.page for claim in answer.claims for citation in claim.citations] == [2]


def test_page_at_the_edges() -> None:
    pages = (Page(1, 0, 10), Page(2, 10, 20))
    assert [page_at(pages, offset) for offset in (0, 9, 10, 19, 20)] == [1, 1, 2, 2, None]
    assert page_at((), 5) is None


def test_the_wire_form_is_plain_json(shelf: Shelf) -> None:
    body = answer_json(shelf.pipeline().answer(Question("When does the heater switch on below three degrees?")))
    assert json.loads(json.dumps(body)) == body
    assert list(body) == [
        "id", "question", "answer", "abstained", "reason", "support", "unanswerable", "answerable", "claims",
        "passages", "usage", "timings_ms", "models",
    ]  # fmt: skip
    assert set(body["claims"][0]) == {"text", "start", "end", "support", "verdict", "citations", "unsupported"}
    assert set(body["passages"][0]) == {"document_id", "title", "uri", "page", "start", "end", "quote", "score"}
    assert set(body["timings_ms"]) == {"retrieve", "rerank", "generate", "verify", "total"}
    assert set(body["models"]) == {"generator", "retriever", "reranker", "verifier"}


def test_limits_bound_the_answer(shelf: Shelf) -> None:
    pipeline = shelf.pipeline(limits=Limits(max_new_tokens=2))
    answer = pipeline.answer(Question("When does the heater switch on below three degrees?"))
    assert answer.usage.completion_tokens == 2


class Doubts(EchoGenerator):
    """Can tell how probable a refusal is, and does as the policy says."""

    def __init__(self, unanswerable: float):
        self._unanswerable = unanswerable

    def stream(self, prompt: Prompt, max_new_tokens: int, refuse_at: float) -> Iterator[Piece]:
        text = NO_ANSWER if self._unanswerable >= refuse_at else self.answer(prompt)
        yield Piece(text, 0.5, self._unanswerable)


@pytest.mark.parametrize(("unanswerable", "refuse_at", "refused"), [(0.6, 0.5, True), (0.6, 0.7, False)])
def test_the_policy_says_how_much_doubt_is_a_refusal(
    shelf: Shelf, unanswerable: float, refuse_at: float, refused: bool
) -> None:
    pipeline = replace(shelf.pipeline(Doubts(unanswerable)), policy=Policy(refuse_at=refuse_at))
    answer = pipeline.answer(Question("When does the heater switch on below three degrees?"))
    assert answer.abstained is refused
    assert answer.unanswerable == unanswerable == answer_json(answer)["unanswerable"]


def test_doubt_is_unknown_where_the_generator_was_not_asked(shelf: Shelf) -> None:
    pipeline = replace(shelf.pipeline(Doubts(0.9)), policy=Policy(min_similarity=1.1))
    answer = pipeline.answer(Question("When does the heater switch on?"))
    assert answer.abstained and answer.unanswerable is None


class Points:
    """Stands for a reader's model: the answer is the word with the id given, and none is as unlikely as said."""

    def __init__(self, word: int, margin: float):
        self._word, self._margin = word, margin

    def run(self, pairs: Sequence[Pair]) -> list[tuple[Any, ...]]:
        found = []
        for pair in pairs:
            logits = np.full((len(pair), 2), -9.0, dtype=np.float32)
            logits[0], logits[pair.ids == self._word] = 0.0, self._margin / 2
            found.append((logits,))
        return found


def reading(folder: Path, word: str, margin: float) -> Reader:
    tokenizer = PairTokenizer(write_base(folder / "base", TEXTS.values()) / "tokenizer.json")
    return Reader(Points(int(tokenizer.read([word])[0].ids[0]), margin), tokenizer, Calibration(), "points", "0")


@pytest.mark.parametrize("text", ["Quite another matter entirely.", NO_ANSWER])
def test_what_would_be_refused_is_tried_once_more_with_the_readers_span(
    shelf: Shelf, tmp_path: Path, text: str
) -> None:
    pipeline = replace(shelf.pipeline(Says(text)), reader=reading(tmp_path, "nine", 9.0))
    answer = pipeline.answer(Question("What does the heater draw in watts?"))
    assert not answer.abstained and answer.answer == "nine" and answer.support == 1.0
    (citation,) = answer.claims[0].citations
    assert "nine watts" in citation.quote


@pytest.mark.parametrize(("word", "margin", "read_below"), [("nine", 0.0, 0.2), ("nine", 9.0, 0.0)])
def test_a_doubtful_reader_or_a_policy_without_one_still_refuses(
    shelf: Shelf, tmp_path: Path, word: str, margin: float, read_below: float
) -> None:
    pipeline = replace(
        shelf.pipeline(Says(NO_ANSWER)), reader=reading(tmp_path, word, margin), policy=Policy(read_below=read_below)
    )
    answer = pipeline.answer(Question("What does the heater draw in watts?"))
    assert answer.abstained and "the generator found no answer" in answer.reason


def test_only_the_claims_of_the_answer_that_stands_are_told(shelf: Shelf, tmp_path: Path) -> None:
    pipeline = replace(shelf.pipeline(Says("Quite another matter.")), reader=reading(tmp_path, "nine", 9.0))
    events = list(pipeline.events(Question("What does the heater draw in watts?")))
    told = [event.claim.text for event in events if isinstance(event, ClaimChecked)]
    assert told == ["nine"]


def test_neighbouring_passages_need_not_be_in_the_store(shelf: Shelf) -> None:
    """Once they were looked up to be merged, and answering from given passages ended in "does not exist"."""
    first, second = "The kettle holds two litres.", "It boils them in three minutes."
    passages = [
        Passage(0, "given", "Kettle", "", 0, len(first), first),
        Passage(0, "given", "Kettle", "", len(first) + 1, len(first) + 1 + len(second), second),
    ]
    *_, last = shelf.pipeline().events_from(Question("How much does the kettle hold? two litres"), passages)
    assert isinstance(last, Answered) and not last.answer.abstained
    assert {hit.passage.text for hit in last.answer.passages} == {first, second}


def test_a_short_answer_gives_way_to_a_span_that_is_better_supported(shelf: Shelf, tmp_path: Path) -> None:
    question = Question("What does the heater draw in watts?")
    reader = reading(tmp_path, "nine", 9.0)
    said = "The heater draws ninety kilowatts."
    doubtful = shelf.pipeline(Says(said))
    doubtful = replace(doubtful, policy=replace(doubtful.policy, min_support=-1.0))
    assert doubtful.answer(question).support < 0.8
    assert replace(doubtful, reader=reader).answer(question).answer == "nine"
    never = replace(doubtful.policy, read_over=1.0)
    assert (
        replace(doubtful, reader=reader, policy=never).answer(question).answer == "The heater draws ninety kilowatts."
    )


@pytest.mark.parametrize(
    "text", ["Yes.", "No, it does not.", "one two three four five six seven eight nine ten eleven twelve thirteen"]
)
def test_yes_no_and_long_answers_are_not_the_readers_to_replace(text: str) -> None:
    assert not replaceable(ParsedAnswer(text, (), refused=False))
