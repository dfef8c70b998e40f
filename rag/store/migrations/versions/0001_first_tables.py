"""First tables: clock, ticks, collections, documents, chunks, deletions, answers, and full text on SQLite."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# On PostgreSQL the order of text is that of its bytes, as on SQLite, and numbers that only grow have eight bytes.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    clock = op.create_table(
        "clock",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("store_id", TEXT, nullable=False),
    )
    op.bulk_insert(clock, [{"id": 1, "seq": 0, "store_id": uuid.uuid4().hex}])
    op.create_table(
        "ticks",
        sa.Column("seq", BIG, primary_key=True, autoincrement=False),
        sa.Column("mark", TEXT, nullable=False),
    )
    op.create_table(
        "collections",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", TEXT, nullable=False, unique=True),
        sa.Column("encoder", TEXT, nullable=False),
        sa.Column("dimension", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "documents",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("collection_id", sa.Integer, sa.ForeignKey("collections.id"), nullable=False),
        sa.Column("uri", TEXT, nullable=False),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("content_hash", TEXT, nullable=False),
        sa.Column("reader", TEXT, nullable=False),
        sa.Column("text", TEXT, nullable=False),
        sa.Column("pages", TEXT, nullable=False),
        sa.Column("chunk_count", sa.Integer, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("collection_id", "uri", name="documents_collection_uri"),
    )
    op.create_table(
        "chunks",
        sa.Column("id", BIG, primary_key=True, autoincrement=True),
        sa.Column("document_id", TEXT, sa.ForeignKey("documents.id"), nullable=False),
        sa.Column("collection_id", sa.Integer, sa.ForeignKey("collections.id"), nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("start", sa.Integer, nullable=False),
        sa.Column("stop", sa.Integer, nullable=False),
        sa.Column("page", sa.Integer),
        sa.Column("heading", TEXT, nullable=False),
        sa.Column("text", TEXT, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_chunks_document_id", "chunks", ["document_id"])
    op.create_index("chunks_collection_seq", "chunks", ["collection_id", "seq"])
    op.create_table(
        "deletions",
        sa.Column("chunk_id", BIG, primary_key=True),
        sa.Column("collection_id", sa.Integer, nullable=False),
        sa.Column("seq", BIG, nullable=False),
    )
    op.create_index("deletions_collection_seq", "deletions", ["collection_id", "seq"])
    op.create_table(
        "answers",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("collection", TEXT, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", TEXT, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":  # PostgreSQL's comes in 0004
        _full_text()


def _full_text() -> None:
    op.execute(
        "CREATE VIRTUAL TABLE chunks_fts USING fts5(heading, text, content='chunks', content_rowid='id',"
        " tokenize='porter unicode61 remove_diacritics 2')"
    )
    op.execute(
        "CREATE TRIGGER chunks_fts_insert AFTER INSERT ON chunks BEGIN"
        " INSERT INTO chunks_fts(rowid, heading, text) VALUES (new.id, new.heading, new.text); END"
    )
    op.execute(
        "CREATE TRIGGER chunks_fts_delete AFTER DELETE ON chunks BEGIN"
        " INSERT INTO chunks_fts(chunks_fts, rowid, heading, text)"
        " VALUES ('delete', old.id, old.heading, old.text); END"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for trigger in ("chunks_fts_insert", "chunks_fts_delete"):
            op.execute(f"DROP TRIGGER {trigger}")
        op.drop_table("chunks_fts")
    for table in ("answers", "deletions", "chunks", "documents", "collections", "ticks", "clock"):
        op.drop_table(table)
