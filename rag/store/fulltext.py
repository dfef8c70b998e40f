"""BM25 over heading and text of chunks, in step with the rows: SQLite's FTS5, or the same sum on PostgreSQL.

PostgreSQL's own ranks (ts_rank, ts_rank_cd) know nothing of how rare a word is, and fusion (rag/fusion.py) was fitted
on BM25. So PostgreSQL finds the chunks by its inverted index (GIN over word vectors) and the sum is ours, with FTS5's
formula and constants: for each word its rarity times its frequency, damped (Robertson and Zaragoza 2009, "The
Probabilistic Relevance Framework"; https://sqlite.org/fts5.html#the_bm25_function). Words are cut and stemmed alike
on both, by letters and digits and by Porter's algorithm; migrations/versions/0004 says how, docs/servers.md how far it
agrees.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from rag.store.collections import Collection

K1, B = 1.2, 0.75  # fixed in FTS5
_LEAST_RARITY = 1e-6  # of a word that more than half of all chunks have, as in FTS5
_MOST_WORDS = 64

Scored = list[tuple[int, float]]


def search(
    connection: Connection,
    collection: Collection,
    words: Sequence[str],
    limit: int,
    allowed: NDArray[np.int64] | None,
) -> Scored:
    """(id, BM25 score, higher is better) of the chunks that hold any of ``words``, best first, ties by id.

    ``allowed``: ids to keep to; None for all. How rare a word is counts over all collections of the database.
    """
    wanted = list(dict.fromkeys(words))[:_MOST_WORDS]
    if not wanted:
        return []
    by_dialect = {"sqlite": _fts5, "postgresql": _postgres}
    return by_dialect[connection.dialect.name](connection, collection, wanted, limit, allowed)


def _fts5(
    connection: Connection, collection: Collection, words: Sequence[str], limit: int, allowed: NDArray[np.int64] | None
) -> Scored:
    kept = "" if allowed is None else "AND c.id IN (SELECT value FROM json_each(:allowed)) "
    query = text(
        "SELECT f.rowid AS id, -bm25(chunks_fts) AS score FROM chunks_fts f JOIN chunks c ON c.id = f.rowid "
        f"WHERE chunks_fts MATCH :match AND c.collection_id = :collection {kept}"
        "ORDER BY score DESC, id LIMIT :limit"
    )
    values = {"match": fts5_expression(words), "collection": collection.id, "limit": limit}
    if allowed is not None:
        values["allowed"] = json.dumps(allowed.tolist())
    return [(int(row.id), float(row.score)) for row in connection.execute(query, values)]


def fts5_expression(words: Sequence[str]) -> str:
    """An FTS5 expression that matches any of ``words``; each is quoted, so nothing in it can act as FTS5 syntax."""
    return " OR ".join('"' + word.replace('"', '""') + '"' for word in words)


def _postgres(
    connection: Connection, collection: Collection, words: Sequence[str], limit: int, allowed: NDArray[np.int64] | None
) -> Scored:
    query = text("SELECT lexeme, cardinality(positions) AS times FROM unnest(chunk_words(:words)) ORDER BY lexeme")
    terms = connection.execute(query, {"words": " ".join(words).replace("\0", " ")}).all()
    total = connection.execute(text("SELECT chunks, words FROM chunks_fts_totals")).one()
    if not terms or not total.chunks:
        return []
    values = {
        "collection": collection.id,
        "limit": limit,
        "chunks": total.chunks,
        "mean": max(1.0, total.words / total.chunks),
        "any": " | ".join(f"'{row.lexeme}'" for row in terms),
        **{f"t{n}": f"'{row.lexeme}'" for n, row in enumerate(terms)},
    }
    if allowed is not None:
        values["allowed"] = allowed.tolist()
    found = connection.execute(text(_bm25([row.times for row in terms], allowed is not None)), values)
    return [(int(row.id), float(row.score)) for row in found]


def _bm25(times: Sequence[int], filtered: bool) -> str:
    """The statement for words of which the query holds ``times`` each; a word's frequency comes from ts_rank.

    ts_rank of one word is the sum of 1/i² for i up to its frequency, over π²/6: it is turned back into the frequency
    here, for there is no function that gives it but one that unpacks the whole word vector of each chunk, ten times as
    slow. The sum's rest from n on is 1/(n + 1/2) closely enough that rounding gives n exactly.
    """
    number = range(len(times))
    ranks = ", ".join(f"ts_rank('{{1,1,1,1}}', words, CAST(:t{n} AS tsquery))::float8 AS r{n}" for n in number)
    counts = ", ".join(
        f"greatest(ln((:chunks - count(*) FILTER (WHERE r{n} > 0) + 0.5)"
        f" / (count(*) FILTER (WHERE r{n} > 0) + 0.5))::float8, {_LEAST_RARITY}) AS i{n}"
        for n in number
    )
    frequency = "round(1 / (1.64493406685 * (1 - r{n})) - 0.5)"
    score = " + ".join(
        f"{times[n]} * i{n} * {K1 + 1} * {frequency.format(n=n)}"
        f" / ({frequency.format(n=n)} + {K1} * ({1 - B} + {B} * length / :mean))"
        for n in number
    )
    kept = "AND id = ANY(:allowed) " if filtered else ""
    return (
        f"WITH found AS MATERIALIZED (SELECT id, collection_id, length, {ranks} FROM chunks_fts"
        f" WHERE words @@ CAST(:any AS tsquery)), rarity AS (SELECT {counts} FROM found)"
        f" SELECT id, {score} AS score FROM found, rarity WHERE collection_id = :collection {kept}"
        "ORDER BY score DESC, id LIMIT :limit"
    )
