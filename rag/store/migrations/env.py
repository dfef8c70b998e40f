"""Alembic's entry point; rag/store/database.py passes the open connection in the configuration's attributes."""

from alembic import context

from rag.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
