"""Alembic runs this to migrate; ``Store.migrate`` hands over the connection, already in a transaction."""

from alembic import context

from aggregator.store.tables import Table

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Table.metadata, render_as_batch=True
)
context.run_migrations()
