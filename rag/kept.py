"""Past answers as they may still be shown: nothing in them may quote a document that was deleted since."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

WITHDRAWN = "Withdrawn: a document that this answer rested on was deleted."


def document_ids(body: dict[str, Any]) -> set[str]:
    """The ids of all documents that an Answer object quotes."""
    return {str(quoted["document_id"]) for quoted in _quoted(body)}


def without(body: dict[str, Any], gone: set[str]) -> dict[str, Any]:
    """The Answer object without what came from the documents ``gone``: an answer that cites one is withdrawn."""
    if not gone & document_ids(body):
        return body
    passages = [passage for passage in body["passages"] if passage["document_id"] not in gone]
    cited = {str(citation["document_id"]) for claim in body["claims"] for citation in claim["citations"]}
    if not cited & gone:
        return body | {"passages": passages}
    withdrawn = {"answer": WITHDRAWN, "abstained": True, "reason": WITHDRAWN, "support": 0.0, "claims": []}
    return body | withdrawn | {"passages": passages}


def _quoted(body: dict[str, Any]) -> Iterable[dict[str, Any]]:
    yield from body["passages"]
    for claim in body["claims"]:
        yield from claim["citations"]
