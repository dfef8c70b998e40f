"""The tables, as SQLAlchemy Core. migrations/ creates and changes them; only this folder uses them.

clock       one row: the sequence number of the last committed change, and the identity of this database
ticks       a random mark for every sequence number: after a backup was restored, numbers come again, marks do not
collections a named set of documents, all embedded by one encoder
documents   the normalised text of a file, once, with its page map
chunks      passages: characters [start, stop) of a document, their vector (float16), and the sequence number
            under which they came
deletions   chunks that are gone, with the sequence number under which they went, so that an index can catch up
answers     every answer given, as the JSON of the public contract
keys        access keys of the service: the SHA-256 of each, its role and the collections it opens
jobs        uploads to be ingested, with their state; they outlive the server that took them
feedback    what readers said of an answer
labels      metadata of documents that came through a program, as JSON
audit       who changed or was refused what, and when
eval_runs   what eval measured: figures for lists, and the text of each run's file
outcomes    what became of each file at its last ingest: status, reason, hash, reader, documents made of it
signatures  MinHash of each document's words; bands holds its parts, so that documents alike are found by equal parts

Full text over chunks.heading and chunks.text is kept in step by triggers: on SQLite the FTS5 table chunks_fts, on
PostgreSQL the table chunks_fts of word vectors and chunks_fts_totals beside it (rag/store/fulltext.py).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

metadata = MetaData()


class _Text(TypeDecorator[str]):
    """Text in the order of its bytes on every database, without NUL, which PostgreSQL cannot hold.

    What a reader gives has none; a client may send one in an id or a name, and then must find nothing, not fail.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        return dialect.type_descriptor(Text(collation="C") if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if value and dialect.name == "postgresql" else value


TEXT = _Text()
BIG = BigInteger().with_variant(Integer(), "sqlite")  # SQLite's integers are as wide as they need to be

clock = Table(
    "clock",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("seq", BIG, nullable=False),
    Column("store_id", TEXT, nullable=False),
)

ticks = Table(
    "ticks",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=False),
    Column("mark", TEXT, nullable=False),
)

collections = Table(
    "collections",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", TEXT, nullable=False, unique=True),
    Column("encoder", TEXT, nullable=False),
    Column("dimension", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    sqlite_autoincrement=True,  # the id of a deleted collection never comes back: index folders are named by it
)

documents = Table(
    "documents",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("collection_id", Integer, ForeignKey("collections.id"), nullable=False),
    Column("uri", TEXT, nullable=False),
    Column("title", TEXT, nullable=False),
    Column("content_hash", TEXT, nullable=False),
    Column("reader", TEXT, nullable=False),
    Column("text", TEXT, nullable=False),
    Column("pages", TEXT, nullable=False),
    Column("chunk_count", Integer, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("collection_id", "uri", name="documents_collection_uri"),
)

chunks = Table(
    "chunks",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("document_id", TEXT, ForeignKey("documents.id"), nullable=False, index=True),
    Column("collection_id", Integer, ForeignKey("collections.id"), nullable=False),
    Column("seq", BIG, nullable=False),
    Column("start", Integer, nullable=False),
    Column("stop", Integer, nullable=False),
    Column("page", Integer),
    Column("heading", TEXT, nullable=False),
    Column("text", TEXT, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Index("chunks_collection_seq", "collection_id", "seq"),
    sqlite_autoincrement=True,  # ids of deleted chunks are never used again, so an index can't confuse the two
)

deletions = Table(
    "deletions",
    metadata,
    Column("chunk_id", BIG, primary_key=True),
    Column("collection_id", Integer, nullable=False),
    Column("seq", BIG, nullable=False),
    Index("deletions_collection_seq", "collection_id", "seq"),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("collection_id", Integer, primary_key=True, autoincrement=False),
    Column("uri", TEXT, primary_key=True),
    Column("status", TEXT, nullable=False),
    Column("reason", TEXT, nullable=False),
    Column("content_hash", TEXT, nullable=False),
    Column("reader", TEXT, nullable=False),
    Column("documents", Integer, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)

signatures = Table(
    "signatures",
    metadata,
    Column("document_id", TEXT, primary_key=True),
    Column("collection_id", Integer, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

bands = Table(
    "bands",
    metadata,
    Column("collection_id", Integer, primary_key=True, autoincrement=False),
    Column("band", TEXT, primary_key=True),
    Column("document_id", TEXT, primary_key=True),
    Index("bands_document", "document_id"),
)

answers = Table(
    "answers",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("collection", TEXT, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("body", TEXT, nullable=False),
    Index("answers_created", "created_at"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("name", TEXT, nullable=False),
    Column("hash", TEXT, nullable=False),
    Column("role", TEXT, nullable=False),
    Column("collections", TEXT, nullable=False),  # a JSON list of names; null opens all
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("collection", TEXT, nullable=False),
    Column("status", TEXT, nullable=False),
    Column("files", TEXT, nullable=False),  # a JSON list of file names
    Column("total", Integer, nullable=False),
    Column("done", Integer, nullable=False),
    Column("report", TEXT, nullable=False),  # the JSON of an IngestReport, empty until it is done
    Column("error", TEXT, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("beat_at", Float, nullable=False),  # seconds since 1970 of the worker's last sign of life
    Column("finished_at", DateTime(timezone=True)),
    Index("jobs_status", "status", "created_at"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("answer_id", TEXT, ForeignKey("answers.id"), nullable=False, index=True),
    Column("verdict", TEXT, nullable=False),
    Column("correction", TEXT, nullable=False),
    Column("key_id", TEXT, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("key_id", TEXT, nullable=False),
    Column("action", TEXT, nullable=False),
    Column("target", TEXT, nullable=False),
    Column("status", Integer, nullable=False),
    Column("request_id", TEXT, nullable=False),
    sqlite_autoincrement=True,
)

eval_runs = Table(
    "eval_runs",
    metadata,
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("metrics", Text, nullable=False),  # JSON, as in the run's file
    Column("body", Text, nullable=False),  # the text of the run's file
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("eval_runs_created", "created_at"),
)

labels = Table(
    "labels",
    metadata,
    Column("document_id", TEXT, ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
    Column("metadata", TEXT, nullable=False),
)
