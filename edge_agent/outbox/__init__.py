"""The durable queue between sensing and delivery: one SQLite file, bounded, and the place reading goes on from."""

from edge_agent.outbox.file import OutboxError
from edge_agent.outbox.queue import LAST_SEQ, Outbox, Stored, StoredState

__all__ = ["LAST_SEQ", "Outbox", "OutboxError", "Stored", "StoredState"]
