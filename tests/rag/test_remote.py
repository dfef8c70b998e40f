"""Generation elsewhere against a real HTTP server: slow, dead, broken, wrong. test_remote_llama.py is its twin."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lm.tokenizer import Message
from rag.breaker import CLOSED, OPEN
from rag.prompt import NO_ANSWER, Prompt
from rag.remote import RemoteGenerator, RemoteLimits
from rag.remote_wire import Address
from rag.types import GeneratorUnavailable, InvalidInput, Question
from tests.chat_server import (
    Behaviour,
    ChatServer,
    chat_server,
    dripping,
    dripping_head,
    drops,
    raw,
    resets,
    says,
    silent,
    status,
)
from tests.fakes import Shelf

PROMPT = Prompt((Message("system", "Be brief."), Message("user", "How heavy is the pump?")), ())
QUICK: dict[str, Any] = {"connect_s": 1.0, "silence_s": 2.0, "total_s": 6.0, "backoff_s": 0.01}


def count(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def generator_at(url: str, **limits: Any) -> RemoteGenerator:
    return RemoteGenerator(Address.parse(f"openai+{url}"), count, RemoteLimits(**QUICK | limits))


def written(generator: RemoteGenerator) -> str:
    return "".join(piece.text for piece in generator.stream(PROMPT, 500, 0.6))


def failure(server: ChatServer, **limits: Any) -> str:
    with pytest.raises(GeneratorUnavailable) as caught:
        written(generator_at(server.url, **limits))
    assert "\n" not in str(caught.value)
    assert server.url in str(caught.value)
    return str(caught.value)


def test_the_prompt_goes_out_as_it_is_and_words_come_back() -> None:
    with chat_server(says("It weighs", " 12 kg", " [1].")) as server:
        generator = generator_at(server.url.replace("http://", "http://s%2Fcret@") + "#pump-1b")
        pieces = list(generator.stream(PROMPT, 12, 0.6))
    assert "".join(piece.text for piece in pieces) == "It weighs 12 kg [1]."
    assert sum(piece.tokens for piece in pieces) == 6  # what the server counted, not the chunks
    assert max(piece.prompt_tokens for piece in pieces) == 77
    (asked,) = server.asked
    assert asked["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": PROMPT.messages[1].text},
    ]
    assert (asked["model"], asked["max_tokens"], asked["temperature"], asked["stream"]) == ("pump-1b", 12, 0, True)
    assert server.headers[0]["authorization"] == "Bearer s/cret"
    assert "cret" not in f"{generator.name} {generator.fingerprint} {generator.state()}"
    assert generator.state().attempts == {"answered": 1}


def test_the_only_model_needs_no_name_and_one_of_several_does() -> None:
    with chat_server(says("Yes."), models=["tiny-135m"]) as server:
        generator = generator_at(server.url)
        assert written(generator) == "Yes."
        assert generator.name == server.asked[0]["model"] == "tiny-135m"
        server.models = ["a", "b"]
        assert "a, b" in failure(server) and "#NAME" in failure(server)


@pytest.mark.parametrize(
    "setting", ["openai+ftp://h/v1", "openai+http:///v1", "openai+http://h:x/v1", "openai+http://k3y@h:0/v1", "openai+"]
)
def test_a_wrong_address_is_told_without_its_key(setting: str) -> None:
    with pytest.raises(InvalidInput, match="HOST:PORT/v1") as caught:
        Address.parse(setting)
    assert "k3y" not in str(caught.value)


def test_a_dead_server_is_told_after_all_attempts() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1#m"
    generator = generator_at(url)
    with pytest.raises(GeneratorUnavailable, match=r"cannot be reached .*3 attempts"):
        written(generator)
    assert generator.state().attempts == {"unreachable": 3}


@pytest.mark.parametrize(
    ("behaviour", "limits", "least", "says_what"),
    [
        (silent, {"attempts": 1, "silence_s": 0.4}, 0.4, "said nothing for 0.4 s"),
        (silent, {"silence_s": 40.0, "total_s": 0.5}, 0.5, "no whole answer within 0.5 s"),
        (dripping, {"total_s": 0.5}, 0.5, "no whole answer within 0.5 s"),
        (dripping_head, {"total_s": 0.5}, 0.5, "no whole answer within 0.5 s"),
    ],
    ids=["silent", "silent-in-all", "dripping", "dripping-head"],
)
def test_no_server_takes_longer_than_it_may(
    behaviour: Behaviour, limits: dict[str, Any], least: float, says_what: str
) -> None:
    """Left alone, each of these servers would take a minute."""
    with chat_server(behaviour) as server:
        started = time.monotonic()
        assert says_what in failure(server, **limits)
        assert least <= time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("<html>Welcome</html>", "no server-sent event"),
        ("data: {]\n\n", "no JSON"),
        ("data: [1]\n\n", "no object"),
        ("data: " + "[" * 100_000 + "\n\n", "no"),
        ('data: {"answer": 1}\n\n', "without choices"),
        ('data: {"choices": [7]}\n\n', "no text"),
        ('data: {"choices": [{"delta": {"content": 5}}]}\n\n', "no text"),
        ('data: {"choices": [], "usage": 3}\n\n', "without choices"),
        ('data: {"error": {"message": "out of\\nmemory"}}\n\n', "out of memory"),
        ("data: " + "x" * 3_000_000, "over 1 MB"),
    ],
)
def test_nonsense_is_told_and_not_asked_for_again(body: str, what: str) -> None:
    with chat_server(raw(body)) as server:
        assert what in failure(server)
        assert len(server.asked) == 1


def test_an_answer_that_is_no_stream_is_nonsense() -> None:
    with chat_server(raw('{"choices": [{"message": {"content": "Yes."}}]}', "application/json")) as server:
        assert "no stream of events but application/json" in failure(server)


def test_half_a_character_does_not_reach_the_answer() -> None:
    with chat_server(
        raw('data: {"choices": [{"delta": {"content": "a\\ud800b"}, "finish_reason": "stop"}]}\n\n')
    ) as server:
        assert written(generator_at(server.url)) == "a?b"


def test_a_stream_that_breaks_off_is_asked_for_again_only_while_nothing_was_read() -> None:
    with chat_server(drops(), resets, says("Yes.")) as server:
        generator = generator_at(server.url)
        assert written(generator) == "Yes."
        assert generator.state().attempts == {"dropped": 2, "answered": 1}
    with chat_server(drops("It weighs ", "12"), says("Yes.")) as server:
        assert "broke off its answer" in failure(server)
        assert len(server.asked) == 1


def test_a_server_that_asks_for_time_gets_it() -> None:
    with chat_server(status(503, **{"retry-after": "1"}), status(429), says("Yes.")) as server:
        started = time.monotonic()
        assert written(generator_at(server.url)) == "Yes."
        assert time.monotonic() - started >= 1
    with chat_server(status(503, **{"retry-after": "3600"})) as server:
        started = time.monotonic()
        assert "says 503: 'not now'" in failure(server, total_s=60.0)
        assert time.monotonic() - started < 20  # longer than the answer may take in all: no use to wait


@pytest.mark.parametrize(
    ("code", "cure"), [(401, "KEY@HOST"), (400, "not now"), (404, "not now"), (302, "not followed")]
)
def test_what_would_fail_again_is_not_tried_again(code: int, cure: str) -> None:
    with chat_server(says("Stolen.")) as elsewhere, chat_server(status(code, location=elsewhere.url)) as server:
        generator = generator_at(server.url)
        for _ in range(8):
            with pytest.raises(GeneratorUnavailable, match=cure):
                written(generator)
        assert len(server.asked) == 8
        assert not elsewhere.asked
        assert generator.state().breaker == CLOSED  # the server lives; the setting or the question is wrong


def test_a_server_that_knows_no_limit_is_cut_short() -> None:
    with chat_server(dripping) as server:
        pieces = generator_at(server.url, total_s=60.0).stream(PROMPT, 3, 0.6)
        assert "".join(piece.text for piece in pieces) == "and and and "
        assert server.hung_up.wait(5)


def test_a_proxy_of_the_environment_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with chat_server(says("Stolen.")) as proxy, chat_server(says("Yes.")) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        assert written(generator_at(server.url)) == "Yes."
        assert not proxy.asked


def test_the_breaker_leaves_a_failing_server_alone_and_finds_it_again() -> None:
    with chat_server(*[status(500)] * 5, says("Yes.")) as server:
        generator = generator_at(server.url, attempts=1, open_s=3)
        for _ in range(5):
            with pytest.raises(GeneratorUnavailable, match="500"):
                written(generator)
        assert generator.state().breaker == OPEN
        with pytest.raises(GeneratorUnavailable, match="left alone"):
            written(generator)
        assert len(server.asked) == 5
        time.sleep(3.05)
        assert written(generator) == "Yes."
        assert generator.state().breaker == CLOSED
        assert generator.state().attempts == {"refused": 5, "breaker": 1, "answered": 1}


def test_leaving_hangs_up() -> None:
    with chat_server(dripping) as server:
        generator = generator_at(server.url, total_s=60.0)
        with closing(generator.stream(PROMPT, 12, 0.6)) as pieces:  # type: ignore[type-var]
            assert next(piece.text for piece in pieces if piece.text) == "and "
        assert server.hung_up.wait(5)
        assert generator.state().attempts == {"left": 1}


def test_while_it_waits_it_lets_the_reader_go() -> None:
    with chat_server(silent) as server:
        pieces = generator_at(server.url, silence_s=60.0, total_s=60.0).stream(PROMPT, 12, 0.6)
        with closing(pieces):  # type: ignore[type-var]
            assert next(pieces).text == ""


@pytest.mark.parametrize(
    ("words", "abstained"),
    [
        (["The heater draws", " nine watts. [7]"], False),
        ([NO_ANSWER], True),
        (["Purple clouds sang."], True),
        ([], True),
    ],
)
def test_verification_and_refusal_stay_ours(tmp_path: Path, words: list[str], abstained: bool) -> None:
    shelf = Shelf.open(tmp_path)
    shelf.put({"/heater.txt": "The heater switches on below three degrees. It draws nine watts."})
    with chat_server(says(*words)) as server:
        answer = shelf.pipeline(generator_at(server.url)).answer(Question("What does the heater draw? nine watts"))
    assert answer.abstained is abstained
    if not abstained:
        assert answer.answer == "The heater draws nine watts."
        assert answer.usage.prompt_tokens == 77
        assert answer.models.generator.startswith("tiny@")
        (citation,) = answer.claims[0].citations
        assert shelf.store.documents.get(citation.document_id).text[citation.start : citation.end] == citation.quote
