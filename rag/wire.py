"""Records as plain JSON values, in the shape of the public contract: what --json prints, REST returns, answers keep."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rag.types import Answer, Claim, Hit


def hit_json(hit: Hit) -> dict[str, Any]:
    """A hit as {document_id, title, uri, page, start, end, quote, score}."""
    passage = hit.passage
    return {
        "document_id": passage.document_id,
        "title": passage.title,
        "uri": passage.uri,
        "page": passage.page,
        "start": passage.start,
        "end": passage.end,
        "quote": passage.text,
        "score": round(hit.score, 6),
    }


def claim_json(claim: Claim) -> dict[str, Any]:
    """A claim as {text, start, end, support, verdict, citations, unsupported: [{start, end}]}."""
    return asdict(claim) | {
        "verdict": claim.verdict.value,
        "citations": [asdict(citation) for citation in claim.citations],
        "unsupported": [{"start": start, "end": end} for start, end in claim.unsupported],
    }


def answer_json(answer: Answer) -> dict[str, Any]:
    """The Answer object of the public contract."""
    return {
        "id": answer.id,
        "question": answer.question,
        "answer": answer.answer,
        "abstained": answer.abstained,
        "reason": answer.reason,
        "support": answer.support,
        "unanswerable": answer.unanswerable,
        "answerable": answer.answerable,
        "claims": [claim_json(claim) for claim in answer.claims],
        "passages": [hit_json(hit) for hit in answer.passages],
        "usage": asdict(answer.usage),
        "timings_ms": asdict(answer.timings_ms),
        "models": asdict(answer.models),
    }
