"""Tables of the service: access keys, upload jobs, feedback, the audit log, labels."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# On PostgreSQL the order of text is that of its bytes, as on SQLite, and numbers that only grow have eight bytes.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "keys",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("hash", TEXT, nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("collections", TEXT, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "jobs",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("collection", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("files", TEXT, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("report", TEXT, nullable=False),
        sa.Column("error", TEXT, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beat_at", sa.Float, nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
    )
    op.create_index("jobs_status", "jobs", ["status", "created_at"])
    op.create_table(
        "feedback",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("answer_id", TEXT, sa.ForeignKey("answers.id"), nullable=False, index=True),
        sa.Column("verdict", TEXT, nullable=False),
        sa.Column("correction", TEXT, nullable=False),
        sa.Column("key_id", TEXT, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("id", BIG, primary_key=True, autoincrement=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key_id", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("target", TEXT, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("request_id", TEXT, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "labels",
        sa.Column("document_id", TEXT, sa.ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("metadata", TEXT, nullable=False),
    )
    op.create_index("answers_created", "answers", ["created_at"])


def downgrade() -> None:
    op.drop_index("answers_created", "answers")
    for table in ("labels", "audit", "feedback", "jobs", "keys"):
        op.drop_table(table)
