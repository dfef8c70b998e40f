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

chunks_fts is an FTS5 table over chunks.heading and chunks.text, kept in step by triggers (SQLite only).
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

clock = Table(
    "clock",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("store_id", Text, nullable=False),
)

ticks = Table(
    "ticks",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("mark", Text, nullable=False),
)

collections = Table(
    "collections",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("encoder", Text, nullable=False),
    Column("dimension", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    sqlite_autoincrement=True,  # the id of a deleted collection never comes back: index folders are named by it
)

documents = Table(
    "documents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("collection_id", Integer, ForeignKey("collections.id"), nullable=False),
    Column("uri", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("reader", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("pages", Text, nullable=False),
    Column("chunk_count", Integer, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("collection_id", "uri", name="documents_collection_uri"),
)

chunks = Table(
    "chunks",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("document_id", Text, ForeignKey("documents.id"), nullable=False, index=True),
    Column("collection_id", Integer, ForeignKey("collections.id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("start", Integer, nullable=False),
    Column("stop", Integer, nullable=False),
    Column("page", Integer),
    Column("heading", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Index("chunks_collection_seq", "collection_id", "seq"),
    sqlite_autoincrement=True,  # ids of deleted chunks are never used again, so an index can't confuse the two
)

deletions = Table(
    "deletions",
    metadata,
    Column("chunk_id", Integer, primary_key=True),
    Column("collection_id", Integer, nullable=False),
    Column("seq", Integer, nullable=False),
    Index("deletions_collection_seq", "collection_id", "seq"),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("collection_id", Integer, primary_key=True, autoincrement=False),
    Column("uri", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("reader", Text, nullable=False),
    Column("documents", Integer, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)

signatures = Table(
    "signatures",
    metadata,
    Column("document_id", Text, primary_key=True),
    Column("collection_id", Integer, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

bands = Table(
    "bands",
    metadata,
    Column("collection_id", Integer, primary_key=True, autoincrement=False),
    Column("band", Text, primary_key=True),
    Column("document_id", Text, primary_key=True),
    Index("bands_document", "document_id"),
)

answers = Table(
    "answers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("collection", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("body", Text, nullable=False),
    Index("answers_created", "created_at"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("collections", Text, nullable=False),  # a JSON list of names; null opens all
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("collection", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("files", Text, nullable=False),  # a JSON list of file names
    Column("total", Integer, nullable=False),
    Column("done", Integer, nullable=False),
    Column("report", Text, nullable=False),  # the JSON of an IngestReport, empty until it is done
    Column("error", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("beat_at", Float, nullable=False),  # seconds since 1970 of the worker's last sign of life
    Column("finished_at", DateTime(timezone=True)),
    Index("jobs_status", "status", "created_at"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", Text, primary_key=True),
    Column("answer_id", Text, ForeignKey("answers.id"), nullable=False, index=True),
    Column("verdict", Text, nullable=False),
    Column("correction", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("key_id", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("request_id", Text, nullable=False),
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
    Column("document_id", Text, ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
    Column("metadata", Text, nullable=False),
)
