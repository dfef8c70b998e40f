"""What the store holds already, as of the beginning of a run: decides what is unchanged, renamed, or failed before."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePath

from ingest.readers import CURRENT, archive_version, is_archive
from rag.store import Collection, Outcome, Store

_INSIDE = "!/"  # between an archive's address and a path in it


@dataclass(frozen=True, slots=True)
class Known:
    """Documents by uri (content hash, reader), outcomes by uri, and uris by content hash."""

    documents: dict[str, tuple[str, str]]
    outcomes: dict[str, Outcome]
    by_hash: dict[str, list[str]]
    members: dict[str, int]  # documents of each archive
    retry: bool = False  # read again what failed before

    @classmethod
    def of(cls, store: Store, target: Collection, retry: bool) -> Known:
        """What ``target`` holds now."""
        documents = {row.uri: (row.content_hash, row.reader) for row in store.documents.all(target)}
        by_hash: defaultdict[str, list[str]] = defaultdict(list)
        members: defaultdict[str, int] = defaultdict(int)
        for uri, (content_hash, _) in documents.items():
            by_hash[content_hash].append(uri)
            if file_of(uri) != uri:
                members[file_of(uri)] += 1
        return cls(documents, {row.uri: row for row in store.outcomes.all(target)}, by_hash, members, retry)

    def unchanged(self, uri: str, content_hash: str) -> Outcome | None:
        """The outcome to repeat when ``uri`` of these bytes needs no reading: it is in, or failed and would again."""
        found = self.documents.get(uri)
        if found and found[0] == content_hash and found[1] in CURRENT:
            return Outcome(uri, "unchanged", self._note(uri), content_hash, found[1], 1)
        before = self.outcomes.get(uri)
        if before is None or before.content_hash != content_hash or before.reader != readers_state():
            return None
        if before.status == "failed":
            return None if self.retry else before
        if is_archive(uri) and before.documents == self.members.get(uri, 0):
            if self.retry and self.failed_within(uri):
                return None
            return Outcome(uri, "unchanged", before.reason, content_hash, before.reader, before.documents)
        return None

    def moved_from(self, uri: str, content_hash: str) -> str:
        """The uri of the document that ``uri`` of these bytes was renamed from; "" for none."""
        if uri in self.documents:
            return ""
        suffix = PurePath(uri).suffix.lower()
        for old in self.by_hash.get(content_hash, []):
            same = PurePath(old).suffix.lower() == suffix and self.documents[old][1] in CURRENT
            if same and file_of(old) == old and old.startswith(os.sep) and not os.path.lexists(old):
                return old
        return ""

    def within(self, archive: str) -> list[str]:
        """The uris of the documents of ``archive``."""
        return [uri for uri in self.documents if uri.startswith(archive + _INSIDE)] if archive in self.members else []

    def failed_within(self, archive: str) -> list[Outcome]:
        """The outcomes of members of ``archive`` that could not be read."""
        inside = archive + _INSIDE
        return [row for uri, row in self.outcomes.items() if row.status == "failed" and uri.startswith(inside)]

    def _note(self, uri: str) -> str:
        before = self.outcomes.get(uri)
        return before.reason if before and before.status != "failed" else ""


def readers_state() -> str:
    """What decides, beside its bytes, how a file that is an archive or fails is read: the versions of all readers."""
    return archive_version()


def member_uri(archive: str, member: str) -> str:
    """The address of a document in an archive."""
    return f"{archive}{_INSIDE}{member}" if member else archive


def file_of(uri: str) -> str:
    """The address of the file that holds the document ``uri``."""
    head, inside, _ = uri.partition(_INSIDE)
    return head if inside and is_archive(head) else uri
