"""Access keys of the service. A key is shown once, when it is made; what is kept is its SHA-256.

A key is 256 random bits, so one round of SHA-256 is enough: there is no dictionary to try. It reads
``ak_<id>_<secret>``; the id finds the row, the hash proves the rest.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select, update

from rag.store.database import Database, patient, utc
from rag.store.tables import keys
from rag.types import InvalidInput, NotFound

ROLES = ("read", "write", "admin")  # each may do what those before it may
_FORM = re.compile(r"ak_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Key:
    """A key's row, without the secret. ``collections``: names it opens, None for all of them."""

    id: str
    name: str
    role: str
    collections: tuple[str, ...] | None
    created_at: datetime
    revoked_at: datetime | None = None


@patient
class Keys:
    """Making, revoking and checking of keys."""

    def __init__(self, database: Database):
        self._database = database

    def create(self, name: str, role: str, collections: Sequence[str] | None = None) -> tuple[Key, str]:
        """A new key and its text, which nobody can show again. Raises InvalidInput for an unknown role."""
        if role not in ROLES:
            raise InvalidInput(f"role {role!r} is none of {', '.join(ROLES)}")
        opened = None if collections is None else tuple(dict.fromkeys(collections))
        key = Key(secrets.token_hex(6), name, role, opened, datetime.now(UTC))
        secret = f"ak_{key.id}_{secrets.token_urlsafe(32)}"
        row = {
            "id": key.id,
            "name": name,
            "hash": _hash(secret),
            "role": role,
            "collections": json.dumps(opened),
            "created_at": key.created_at,
        }
        with self._database.add() as connection:
            connection.execute(insert(keys).values(row))
        return key, secret

    def find(self, secret: str) -> Key | None:
        """The key whose text this is; None where there is none or it was revoked."""
        form = _FORM.fullmatch(secret)
        if form is None:
            return None
        with self._database.read() as connection:
            row = connection.execute(select(keys).where(keys.c.id == form[1])).one_or_none()
        if row is None or row.revoked_at is not None or not hmac.compare_digest(row.hash, _hash(secret)):
            return None
        return _key(row)

    def any(self) -> bool:
        """Whether a key was ever made; a revoked one counts, so that revoking the last does not open the door."""
        with self._database.read() as connection:
            return connection.execute(select(keys.c.id).limit(1)).first() is not None

    def all(self) -> tuple[Key, ...]:
        """All keys, oldest first, revoked ones too."""
        with self._database.read() as connection:
            rows = connection.execute(select(keys).order_by(keys.c.created_at, keys.c.id)).all()
        return tuple(map(_key, rows))

    def revoke(self, key_id: str) -> None:
        """Make a key useless, at once and for good. Raises NotFound."""
        change = update(keys).where(keys.c.id == key_id, keys.c.revoked_at.is_(None))
        with self._database.add() as connection:
            if not connection.execute(change.values(revoked_at=datetime.now(UTC))).rowcount:
                raise NotFound(f"key {key_id!r} does not exist or is revoked already; list them with: keys list")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: Any) -> Key:
    opened = json.loads(row.collections)
    collections = None if opened is None else tuple(opened)
    revoked_at = utc(row.revoked_at) if row.revoked_at else None
    return Key(row.id, row.name, row.role, collections, utc(row.created_at), revoked_at)
