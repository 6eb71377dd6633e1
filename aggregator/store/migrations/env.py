"""Alembic runs this to migrate; ``Store.migrate`` hands over the connection, already in a transaction."""

from alembic import context

import aggregator.store.alarm_tables
import aggregator.store.command_table
import aggregator.store.desired_tables
import aggregator.store.enrolment_tables
import aggregator.store.repeat_tables
import aggregator.store.sample_tables
import aggregator.store.upkeep_tables  # noqa: F401  # whose tables are part of the metadata
from aggregator.store.tables import Table

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Table.metadata, render_as_batch=True
)
context.run_migrations()
