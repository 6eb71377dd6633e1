"""Makes a store whole that was restored from a backup, as far as the gateways still hold what it has lost."""

from datetime import datetime

import structlog
from sqlalchemy import Connection, select

from aggregator.store.arrivals import Outcome, StatusArrival
from aggregator.store.ledger import OpenStream, taken_ranges
from aggregator.store.missing import miss
from aggregator.store.ranges import subtract
from aggregator.store.tables import StoreFact, core
from shared.messages import Resend
from shared.topics import GatewayTopic

log = structlog.get_logger(__name__)

LOST = "lost with the old store, and no longer on the gateway"
RANGES_PER_COMMAND = 1000

_fact = core(StoreFact)


def make_whole(connection: Connection, stream: OpenStream, birth: StatusArrival, outcome: Outcome) -> None:
    """Ask for what a gateway delivered to another history of this store and still holds; note what is gone."""
    status = birth.status
    epoch = connection.scalar(select(_fact.c.value).where(_fact.c.key == "store_epoch"))
    if status.store_epoch is None or status.store_epoch == epoch:
        return
    taken = taken_ranges(connection, stream)
    lacking = subtract(status.held, taken)
    topic = GatewayTopic(birth.topic.site, birth.topic.gateway, "command")
    for first in range(0, len(lacking), RANGES_PER_COMMAND):
        order = Resend(stream_id=stream.stream_id, ranges=lacking[first : first + RANGES_PER_COMMAND])
        outcome.orders.append((topic, order))
    if lacking:
        log.info("records_asked_for_again", gateway=topic.gateway, ranges=lacking[:10])
    _miss_lost(connection, stream, birth, birth.received_at)


def _miss_lost(connection: Connection, stream: OpenStream, birth: StatusArrival, noticed_at: datetime) -> None:
    used = [(1, birth.status.next_seq - 1)]
    miss(connection, stream, subtract(used, birth.status.held), LOST, noticed_at)
