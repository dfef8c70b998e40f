"""Generation elsewhere: a server of OpenAI's shape (vLLM, llama.cpp, ...) writes the words, all else stays ours.

The one place in rag/ that speaks to a network, and only to the address that the operator set: redirects are not
followed, proxies of the environment are not used. An answer is asked for again only while no word of it was given out.
"""

from __future__ import annotations

import hashlib
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
from anyio.from_thread import start_blocking_portal

from rag.breaker import Breaker
from rag.generate import Piece
from rag.prompt import Prompt
from rag.remote_wire import (
    DONE,
    Address,
    Delta,
    Nonsense,
    error_text,
    lines,
    read_chunk,
    read_event,
    read_models,
    request_body,
)
from rag.types import GeneratorUnavailable

_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_BEAT_S = 0.25  # an empty piece so often while nothing comes, so that whoever reads may leave
_MOST_ERROR = 4096  # bytes of an error's body that are read


@dataclass(frozen=True, slots=True)
class RemoteLimits:
    """How long a server may take, in seconds: to connect, between two pieces, for a whole answer with its retries.

    ``attempts`` in all, ``backoff_s`` before the second, doubled before each further one, give or take a half.
    After ``failures`` attempts in a row the breaker is open for ``open_s``.
    """

    connect_s: float = 5.0
    silence_s: float = 30.0
    total_s: float = 120.0
    attempts: int = 3
    backoff_s: float = 0.5
    failures: int = 5
    open_s: float = 15.0


@dataclass(frozen=True, slots=True)
class RemoteState:
    """What can be seen of a server: the breaker's state, and attempts by how they ended, since the start."""

    breaker: str
    attempts: dict[str, int]


class _Failed(Exception):
    """An attempt that failed: ``kind`` for the figures, whether to try again, and the wait that the server asked for.

    ``alive``: the server did its part in saying so, which is no reason to leave it alone.
    """

    def __init__(self, kind: str, what: str, again: bool, wait_s: float = 0.0, alive: bool = False):
        super().__init__(what)
        self.kind, self.again, self.wait_s, self.alive = kind, again, wait_s, alive


_Item = Delta | _Failed | None


class RemoteGenerator:
    """A `Generator` over HTTP. Safe to use from several threads; each answer has a connection of its own.

    It cannot tell how probable a refusal is. ``count`` counts tokens for the budget of passages: the server's own
    tokenizer is not at hand.
    """

    def __init__(
        self, address: Address, count: Callable[[Sequence[str]], list[int]], limits: RemoteLimits | None = None
    ):
        self._address = address
        self._count = count
        self._limits = limits or RemoteLimits()
        self._breaker = Breaker(self._limits.failures, self._limits.open_s)
        self._ended: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._ssl = httpx.create_ssl_context()  # once: reading the certificates takes longer than a request
        self.name = address.model or httpx.URL(address.url).netloc.decode()
        self.fingerprint = hashlib.sha256(f"{address.url}#{address.model}".encode()).hexdigest()[:12]

    def state(self) -> RemoteState:
        """The breaker and the attempts so far."""
        with self._lock:
            return RemoteState(self._breaker.state, dict(self._ended))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, by a tokenizer of ours."""
        return self._count(texts)

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Tokens of the prompt's texts, by a tokenizer of ours."""
        return sum(self._count([message.text for message in prompt.messages]))

    def stream(self, prompt: Prompt, max_new_tokens: int, refuse_at: float) -> Iterator[Piece]:  # noqa: ARG002
        """See Generator; ``refuse_at`` means nothing here. The last piece carries the server's own count of tokens.

        Raises GeneratorUnavailable when the server is down, slow, says no or nonsense, or drops the stream.
        """
        until = time.monotonic() + self._limits.total_s
        for attempt in range(1, self._limits.attempts + 1):
            spoken = False
            try:
                for piece in self._attempt(prompt, max_new_tokens, until):
                    spoken = spoken or bool(piece.text)
                    yield piece
                return
            except _Failed as failed:
                wait = max(failed.wait_s, self._limits.backoff_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))
                over = attempt == self._limits.attempts or time.monotonic() + wait > until
                if spoken or over or not failed.again:
                    tries = f" ({attempt} attempts)" if attempt > 1 else ""
                    raise self._unavailable(f"{failed}{tries}") from failed
            yield from _beats(wait)

    def _attempt(self, prompt: Prompt, max_new_tokens: int, until: float) -> Iterator[Piece]:
        """One attempt, and what its end says of the server. Raises _Failed."""
        if wait := self._breaker.enter():
            self._note("breaker")
            raise self._unavailable(f"failed again and again and is left alone for {wait:.0f} s")
        try:
            yield from self._pieces(prompt, max_new_tokens, until)
        except _Failed as failed:
            (self._breaker.succeeded if failed.alive else self._breaker.failed)()
            self._note(failed.kind)
            raise
        except BaseException:  # the reader left, which says nothing of the server
            self._breaker.left()
            self._note("left")
            raise
        self._breaker.succeeded()
        self._note("answered")

    def _pieces(self, prompt: Prompt, max_new_tokens: int, until: float) -> Iterator[Piece]:
        inbox: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        written = chunks = 0
        with start_blocking_portal() as portal:
            talk = portal.start_task_soon(self._talk, prompt, max_new_tokens, until, inbox.put)
            try:
                while True:
                    try:
                        item = inbox.get(timeout=_BEAT_S)
                    except queue.Empty:
                        yield Piece("", 1.0, tokens=0)
                        continue
                    if item is None:
                        return
                    if isinstance(item, _Failed):
                        raise item
                    more = 1 if item.text else 0
                    chunks += more
                    if chunks > max_new_tokens:  # a chunk holds a token or more: this server knows no limit
                        return
                    if item.completion_tokens:  # one chunk may have held several
                        more = item.completion_tokens - written
                    written += more
                    yield Piece(item.text, 1.0, tokens=more, prompt_tokens=item.prompt_tokens)
            finally:
                talk.cancel()  # hangs up, so that the server stops writing

    async def _talk(self, prompt: Prompt, max_new_tokens: int, until: float, put: Callable[[_Item], None]) -> None:
        """One request in a loop of its own: what comes is put, last None or why it failed."""
        limits = self._limits
        try:
            with anyio.fail_after(max(0.0, until - time.monotonic())):
                async with self._client() as client:
                    model = self._address.model or await self._only_model(client)
                    await self._answer(client, request_body(model, prompt, max_new_tokens), put)
            put(None)
        except _Failed as failed:
            put(failed)
        except Nonsense as error:
            put(_Failed("nonsense", f"sent {error}", again=False))
        except TimeoutError:
            put(_Failed("slow", f"gave no whole answer within {limits.total_s:g} s", again=False))
        except (httpx.ConnectTimeout, httpx.ConnectError) as error:
            put(_Failed("unreachable", f"cannot be reached ({_cause(error)}); is it running there?", again=True))
        except httpx.TimeoutException:
            put(_Failed("slow", f"said nothing for {limits.silence_s:g} s", again=True))
        except httpx.TransportError as error:
            put(_Failed("dropped", f"broke off its answer ({_cause(error)})", again=True))
        except Exception as error:  # noqa: BLE001 - raised again where the answer is read
            put(_Failed("nonsense", f"could not be understood ({_cause(error)})", again=False))

    def _client(self) -> httpx.AsyncClient:
        key, limits = self._address.key, self._limits
        headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {})
        timeout = httpx.Timeout(limits.silence_s, connect=limits.connect_s)
        return httpx.AsyncClient(headers=headers, timeout=timeout, verify=self._ssl, trust_env=False)

    async def _only_model(self, client: httpx.AsyncClient) -> str:
        async with client.stream("GET", f"{self._address.url}/models") as response:
            body = await _text(response, 1 << 20)
            if response.status_code != 200:
                raise _refusal(response, body)
        names = read_models(body)
        if len(names) != 1:
            listed = ", ".join(names[:10]) or "none"
            what = f"has {len(names)} models ({listed}); put #NAME at the end of ANSWERABLE_GENERATOR"
            raise _Failed("refused", what, again=False, alive=True)
        self.name = names[0]
        return names[0]

    async def _answer(self, client: httpx.AsyncClient, body: dict[str, Any], put: Callable[[_Item], None]) -> None:
        finished = False
        async with client.stream("POST", f"{self._address.url}/chat/completions", json=body) as response:
            if response.status_code != 200:
                raise _refusal(response, await _text(response, _MOST_ERROR))
            kind = response.headers.get("content-type", "")
            if not kind.startswith("text/event-stream"):
                raise Nonsense(f"no stream of events but {kind or 'something without a type'}")
            async for line in lines(response.aiter_raw()):
                data = read_event(line)
                if data == DONE:
                    break
                if data:
                    delta = read_chunk(data)
                    finished = finished or delta.finished
                    put(delta)
        if not finished:
            raise _Failed("dropped", "broke off its answer before its end", again=True)

    def _unavailable(self, what: str) -> GeneratorUnavailable:
        return GeneratorUnavailable(f"the generator at {self._address.url} {what}")

    def _note(self, kind: str) -> None:
        with self._lock:
            self._ended[kind] += 1


def _refusal(response: httpx.Response, body: str) -> _Failed:
    """The failure that a status other than 200 is."""
    status = response.status_code
    what = f"says {status}: {error_text(body)}"
    if status in (401, 403):
        what += "; put its key into ANSWERABLE_GENERATOR: openai+http://KEY@HOST:PORT/v1"
    if 300 <= status < 400:
        what = f"sends elsewhere ({status}), which is not followed; set ANSWERABLE_GENERATOR to the final address"
    asked = response.headers.get("retry-after", "")
    wait = float(asked) if asked.isdecimal() else 0.0
    return _Failed("refused", what, status in _RETRIED, wait, alive=status < 500)


async def _text(response: httpx.Response, most: int) -> str:
    body = b""
    async for block in response.aiter_raw():
        body += block
        if len(body) >= most:
            break
    return body[:most].decode("utf-8", "replace")


def _cause(error: Exception) -> str:
    return str(error) or type(error).__name__


def _beats(seconds: float) -> Iterator[Piece]:
    """Waits, with an empty piece now and then so that whoever reads may leave."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _BEAT_S))
        yield Piece("", 1.0, tokens=0)
