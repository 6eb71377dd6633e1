"""Last step of ingest, beside the acks: commands to gateways that wait to be signed and published."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from aggregator.signing import CommandKey
from aggregator.store.arrivals import Outcome
from shared.messages import Command
from shared.topics import GatewayTopic

EXPIRY = timedelta(hours=1)
MAX_WAITING = 10_000  # a gateway whose command is left out says within a minute again what it holds


def _nobody_waits() -> None:
    """What is called where nobody publishes."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class PendingOrders:
    """Keeps commands until they are published; the oldest go first, and first when there are too many.

    Args:
        key: signs them.
        wake: called from any thread when there is one more.
        now: the clock, aware UTC.
    """

    def __init__(
        self, key: CommandKey, wake: Callable[[], None] = _nobody_waits, now: Callable[[], datetime] = _utc_now
    ) -> None:
        self._key, self._wake, self._now = key, wake, now
        self._commands: deque[Command] = deque(maxlen=MAX_WAITING)

    def __len__(self) -> int:
        """The commands that wait."""
        return len(self._commands)

    def add(self, outcome: Outcome) -> None:
        """Collect the orders of a committed batch; from any thread."""
        now = self._now()
        for topic, order in outcome.orders:
            self.issue(
                Command(
                    command_id=str(uuid4()),
                    site=topic.site,
                    gateway=topic.gateway,
                    issued_at=now,
                    expires_at=now + EXPIRY,
                    order=order,
                )
            )

    def issue(self, command: Command) -> None:
        """Have a command published; from any thread."""
        self._commands.append(command)
        self._wake()

    def take(self) -> Command | None:
        """The oldest command that has not expired."""
        while self._commands:
            command = self._commands.popleft()
            if command.expires_at > self._now():
                return command
        return None

    def spell(self, command: Command) -> tuple[GatewayTopic, bytes]:
        """The topic of a command, and what is published there."""
        return GatewayTopic(command.site, command.gateway, "command"), self._key.sign(command)

    def put_back(self, command: Command) -> None:
        """Keep a command that could not be published."""
        if len(self._commands) < MAX_WAITING:
            self._commands.appendleft(command)
