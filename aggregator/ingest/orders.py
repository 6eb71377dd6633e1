"""Last step of ingest, beside the acks: commands to gateways that wait to be signed and published."""

from collections import deque
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from aggregator.signing import CommandKey
from aggregator.store.arrivals import Outcome
from shared.messages import Command, Resend
from shared.topics import GatewayTopic

EXPIRY = timedelta(hours=1)
MAX_WAITING = 10_000  # a gateway whose command is left out says within a minute again what it holds


class PendingOrders:
    """Keeps orders until they are published; the oldest go first, and first when there are too many."""

    def __init__(self, key: CommandKey) -> None:
        self._key = key
        self._orders: deque[tuple[GatewayTopic, Resend]] = deque(maxlen=MAX_WAITING)

    def __len__(self) -> int:
        """The orders that wait."""
        return len(self._orders)

    def add(self, outcome: Outcome) -> None:
        """Collect the orders of a committed batch."""
        self._orders.extend(outcome.orders)

    def first(self) -> tuple[GatewayTopic, bytes] | None:
        """The oldest order as a signed command, and its topic; it stays until ``published``."""
        if not self._orders:
            return None
        topic, order = self._orders[0]
        now = datetime.now(UTC)
        command = Command(
            command_id=str(uuid4()),
            site=topic.site,
            gateway=topic.gateway,
            issued_at=now,
            expires_at=now + EXPIRY,
            order=order,
        )
        return topic, self._key.sign(command)

    def published(self) -> None:
        """Forget the oldest order."""
        self._orders.popleft()
