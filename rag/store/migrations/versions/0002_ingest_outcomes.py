"""What became of each file, what documents look like each other, and headings that change with a file's name."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# On PostgreSQL the order of text is that of its bytes, as on SQLite.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "outcomes",
        sa.Column("collection_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("uri", TEXT, primary_key=True),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("content_hash", TEXT, nullable=False),
        sa.Column("reader", TEXT, nullable=False),
        sa.Column("documents", sa.Integer, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "signatures",
        sa.Column("document_id", TEXT, primary_key=True),
        sa.Column("collection_id", sa.Integer, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "bands",
        sa.Column("collection_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("band", TEXT, primary_key=True),
        sa.Column("document_id", TEXT, primary_key=True),
    )
    op.create_index("bands_document", "bands", ["document_id"])
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE TRIGGER chunks_fts_update AFTER UPDATE OF heading, text ON chunks BEGIN"
            " INSERT INTO chunks_fts(chunks_fts, rowid, heading, text)"
            " VALUES ('delete', old.id, old.heading, old.text);"
            " INSERT INTO chunks_fts(rowid, heading, text) VALUES (new.id, new.heading, new.text); END"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER IF EXISTS chunks_fts_update")
    for table in ("bands", "signatures", "outcomes"):
        op.drop_table(table)
