"""Remembers which seqs will never come, and why: dropped by a gateway's policy, or lost with an old store."""

from collections.abc import Iterable
from datetime import datetime

import structlog
from sqlalchemy import Connection, and_, case, insert, select

from aggregator.store.arrivals import ReplyArrival
from aggregator.store.ledger import Item, OpenStream, open_streams, taken_ranges
from aggregator.store.ranges import subtract
from aggregator.store.tables import Gateway, MissingRange, core
from shared.messages import Gap, SeqRange

log = structlog.get_logger(__name__)

UNAVAILABLE = "the gateway was asked for them and no longer has them"

_gateway = core(Gateway)
_missing = core(MissingRange)


def missing_ranges(connection: Connection, stream: OpenStream) -> list[SeqRange]:
    """What is noted as missing of a stream."""
    query = select(_missing.c.first_seq, _missing.c.last_seq).where(_missing.c.stream == stream.id)
    return [(first, last) for first, last in connection.execute(query)]


def certainly_missing_ranges(connection: Connection, stream: OpenStream, taken_to: int) -> list[SeqRange]:
    """The same without what gateways called unavailable above a seq: agents did so of what was yet to come, too."""
    last_seq = case(
        (and_(_missing.c.reason == UNAVAILABLE, _missing.c.last_seq > taken_to), taken_to), else_=_missing.c.last_seq
    )
    query = select(_missing.c.first_seq, last_seq).where(_missing.c.stream == stream.id)
    return [(first, last) for first, last in connection.execute(query) if first <= last]


def miss(
    connection: Connection, stream: OpenStream, ranges: Iterable[SeqRange], reason: str, noticed_at: datetime
) -> None:
    """Note seqs as missing for good, as far as they are neither taken nor noted."""
    new = subtract(ranges, [*taken_ranges(connection, stream), *missing_ranges(connection, stream)])
    if new:
        shared = {"gateway_id": stream.gateway_id, "stream": stream.id, "reason": reason, "noticed_at": noticed_at}
        rows = [shared | {"first_seq": first, "last_seq": last} for first, last in new]
        connection.execute(insert(_missing), rows)
        log.warning("records_missing", stream_id=stream.stream_id, ranges=new[:10], reason=reason)


def miss_dropped(connection: Connection, gaps: Iterable[tuple[Item, Gap]]) -> None:
    """Settle what gateways have dropped: nobody waits for these any more."""
    for item, gap in gaps:
        miss(connection, item.stream, gap.ranges, gap.reason, item.entry.received_at)


def miss_unavailable(connection: Connection, arrival: ReplyArrival) -> None:
    """Settle what the centre itself asked a gateway for and the gateway no longer has."""
    topic, reply = arrival.topic, arrival.reply
    if reply.stream_id is None or not reply.unavailable:
        return
    query = select(_gateway.c.id).where(_gateway.c.name == topic.gateway, _gateway.c.site == topic.site)
    gateway_id = connection.scalar(query)
    if gateway_id is None:
        log.warning("reply_of_unknown_gateway", site=topic.site, gateway=topic.gateway)
        return
    key = (gateway_id, reply.stream_id)
    stream = open_streams(connection, [key], arrival.received_at)[key]
    miss(connection, stream, reply.unavailable, UNAVAILABLE, arrival.received_at)
