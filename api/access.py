"""Who may do what: keys, roles, collections, and how often. A plain ASGI middleware, so that nobody unknown is read.

Open: on a loopback address, as long as no key was ever made, everyone on this machine may do everything. A page of
another site in a browser on this machine may not: its requests carry a foreign Origin, or a foreign Host where it
pointed a name of its own at this address.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread
import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Forbidden, TooFast, Unauthorized, error_response
from rag.settings import Settings
from rag.store import ROLES, AuditEntry, Store
from rag.types import AnswerableError, NotFound

log = structlog.get_logger()

_OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/docs", "/openapi.json"})
_OPEN_FOLDERS = ("/web/", "/static-offline-docs/")
_ONLY_READ = frozenset({"/v1/ask", "/v1/search", "/v1/verify", "/v1/chat/completions"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the id of a key ("" without one), its role, and the collections it opens (None: all)."""

    key_id: str
    role: str
    collections: tuple[str, ...] | None = None

    def require(self, role: str) -> None:
        """Raises Forbidden for a role below ``role``."""
        if ROLES.index(self.role) < ROLES.index(role):
            raise Forbidden(f"this key may {self.role} only; this needs a key with the role {role}")

    def require_collection(self, name: str) -> None:
        """Raises Forbidden for a collection that the key does not open."""
        if not self.opens(name):
            raise Forbidden(f"this key does not open collection {name!r}")

    def opens(self, name: str) -> bool:
        """Whether the key opens the collection ``name``."""
        return self.collections is None or name in self.collections

    def require_all(self) -> None:
        """Raises Forbidden for a key of some collections only."""
        if self.collections is not None:
            raise Forbidden("this key opens some collections only; this needs one that opens all")


ANYONE = Caller("", "admin")


class Access:
    """Lets a request through with its Caller in the scope's state, or answers 401, 403 or 429."""

    def __init__(self, app: ASGIApp, settings: Settings, store: Callable[[], Store]):
        self._app = app
        self._store = store
        self._loopback = is_loopback(settings.host)
        self._rate = Rate(settings.rate_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or _is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            caller = await anyio.to_thread.run_sync(self._identify, headers, scope["method"])
            scope["state"]["caller"] = caller
            if caller.key_id:
                self._rate.take(caller.key_id)
        except AnswerableError as error:
            if error.status >= 500:
                log.error("request failed", code=error.code, error=str(error), request_id=scope["state"]["request_id"])
            await error_response(error)(scope, receive, send)
            return
        seen = _Status(send)
        try:
            await self._app(scope, receive, seen.send)
        finally:
            if _is_audited(scope, seen.status):
                await anyio.to_thread.run_sync(self._record, scope, seen.status)

    def _identify(self, headers: Headers, method: str) -> Caller:
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        if secret:
            key = self._store().keys.find(secret.strip()) if scheme.lower() == "bearer" else None
            if key is None:
                raise Unauthorized("this key is not known here, or was revoked; send: Authorization: Bearer KEY")
            return Caller(key.id, key.role, key.collections)
        if not self._loopback or self._store().keys.any():
            raise Unauthorized(
                "send an access key: Authorization: Bearer KEY; keys are made with: answerable keys create"
            )
        _refuse_foreign(headers, method)
        return ANYONE

    def _record(self, scope: Scope, status: int) -> None:
        state = scope["state"]
        action = f"{scope['method']} {scope['path']:.200}"
        entry = AuditEntry(state["caller"].key_id, action, state.get("target", ""), status, state["request_id"])
        try:
            self._store().audit.put(entry)
        except AnswerableError as error:
            log.error("not in the audit log", action=action, status=status, error=str(error))


class Rate:
    """A token bucket a key: ``per_minute`` requests a minute, as many at once when it was idle for a minute."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic):
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # key -> tokens left, when that was

    def take(self, key: str) -> None:
        """Raises TooFast when the key has none left."""
        now = self._clock()
        left, when = self._buckets.get(key, (float(self._per_minute), now))
        left = min(self._per_minute, left + (now - when) * self._per_minute / 60)
        if left < 1:
            wait = max(1, math.ceil((1 - left) * 60 / self._per_minute))
            raise TooFast(f"this key made its {self._per_minute} requests a minute; try again in {wait} s", wait)
        self._buckets[key] = (left - 1, now)


class _Status:
    """Remembers the status on its way out."""

    def __init__(self, send: Send):
        self._send = send
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


def is_loopback(host: str) -> bool:
    """Whether ``host`` is an address that only this machine reaches."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def known_collection(store: Store, caller: Caller, name: str) -> Any:
    """The collection, for a caller who may know it. Raises Forbidden, NotFound (without the names of others)."""
    caller.require_collection(name)
    try:
        return store.collections.get(name)
    except NotFound:
        if caller.collections is None:
            raise
        raise NotFound(f"collection {name!r} does not exist; ingest documents into it first") from None


def _is_open(path: str) -> bool:
    return path in _OPEN_PATHS or path.startswith(_OPEN_FOLDERS)


def _is_audited(scope: Scope, status: int) -> bool:
    changes = scope["method"] not in _SAFE and scope["path"] not in _ONLY_READ
    return status == Forbidden.status or (changes and 0 < status < 400)


def _refuse_foreign(headers: Headers, method: str) -> None:
    host = headers.get("host", "")
    name = urlsplit(f"//{host}").hostname or ""
    if not is_loopback(name):
        raise Forbidden(f"host {host!r:.80}: without a key this server answers on localhost and 127.0.0.1 only")
    origin = headers.get("origin")
    if origin is not None and method not in _SAFE and urlsplit(origin).netloc != host:
        raise Forbidden(f"origin {origin!r:.80}: pages of other sites may not use this server without a key")
