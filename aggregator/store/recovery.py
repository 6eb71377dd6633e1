"""Makes a store whole that was restored from a backup, as far as the gateways still hold what it has lost."""

from datetime import datetime

import structlog
from sqlalchemy import Connection, select

from aggregator.store.arrivals import Outcome, StatusArrival
from aggregator.store.ledger import OpenStream, taken_ranges
from aggregator.store.missing import certainly_missing_ranges, miss
from aggregator.store.ranges import subtract
from aggregator.store.tables import StoreFact, core
from shared.messages import RESEND_RANGES_MAX, Resend
from shared.ranges import coarse
from shared.topics import GatewayTopic

log = structlog.get_logger(__name__)

LOST = "lost with the old store, and no longer on the gateway"

_fact = core(StoreFact)


def make_whole(connection: Connection, stream: OpenStream, birth: StatusArrival, outcome: Outcome) -> None:
    """Ask a gateway that delivered to another store for all that it holds and this one lacks; note what is gone.

    A birth that comes again is answered again, also where nothing lacks: the command or the reply may have been lost,
    and until it has obeyed one that asks for nothing which is gone, the gateway does not know that it was heard.
    """
    status = birth.status
    epoch = connection.scalar(select(_fact.c.value).where(_fact.c.key == "store_epoch"))
    if epoch is None or status.store_epoch in (None, epoch):
        return
    # A list of what is held may be coarse; what is known to be missing is in it for no other reason.
    taken = taken_ranges(connection, stream)
    settled = [*taken, *certainly_missing_ranges(connection, stream, taken[-1][1] if taken else 0)]
    lacking = coarse(subtract(status.held, settled), RESEND_RANGES_MAX)
    topic = GatewayTopic(birth.topic.site, birth.topic.gateway, "command")
    outcome.orders.append((topic, Resend(stream_id=stream.stream_id, ranges=lacking, store_epoch=epoch)))
    if lacking:
        log.info("records_asked_for_again", gateway=topic.gateway, ranges=lacking[:10])
    _miss_lost(connection, stream, birth, birth.received_at)


def _miss_lost(connection: Connection, stream: OpenStream, birth: StatusArrival, noticed_at: datetime) -> None:
    used = [(1, birth.status.next_seq - 1)]
    miss(connection, stream, subtract(used, birth.status.held), LOST, noticed_at)
