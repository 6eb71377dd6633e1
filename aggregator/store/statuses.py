"""Takes the status messages of gateways: remembers the last one and notices cloned or rolled-back boxes."""

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, select, update

from aggregator.store.arrivals import Outcome, StatusArrival
from aggregator.store.ledger import OpenStream, highest_seq, mark_conflict, open_earlier_streams, open_streams
from aggregator.store.recovery import make_whole
from aggregator.store.tables import Gateway, Stream, core
from shared.messages import Status

SESSIONS_KEPT = 50

_gateway, _stream = core(Gateway), core(Stream)


def take_status(connection: Connection, arrival: StatusArrival, outcome: Outcome, *, redriven: bool = False) -> None:
    """Remember a status unless it is stale, and refuse its stream if it comes from a copy of the box."""
    topic, status = arrival.topic, arrival.status
    query = select(_gateway).where(_gateway.c.name == topic.gateway).with_for_update()
    gateway = connection.execute(query).mappings().one_or_none()
    if gateway is None or gateway["site"] != topic.site:
        outcome.strangers.add(topic)
        return
    key, last_key = ((gateway["id"], stream_id) for stream_id in (status.stream_id, gateway["stream_id"]))
    keys = [last_key, key] if last_key[1] else [key]
    if redriven:
        streams = open_earlier_streams(connection, dict.fromkeys(keys, arrival.received_at))
    else:
        streams = open_streams(connection, keys, arrival.received_at)
    stream, last = streams[key], streams.get(last_key)
    if status.event == "birth" or (status.online and not _is_of_last_session(gateway, status)):
        _judge(connection, gateway, stream, arrival)
    if stream.conflict is not None:
        outcome.answer(topic, status.stream_id).refuse(stream.conflict)
    elif status.event == "birth":
        make_whole(connection, stream, arrival, outcome)
    if last is None or _is_news(gateway, last, stream, status):
        values = _values(gateway, arrival)
        connection.execute(update(_gateway).where(_gateway.c.id == gateway["id"]).values(values))


def _is_of_last_session(gateway: RowMapping, status: Status) -> bool:
    return _same_session(gateway, status) and gateway["stream_id"] == status.stream_id


def _judge(connection: Connection, gateway: RowMapping, stream: OpenStream, arrival: StatusArrival) -> None:
    """Refuse the stream if this session is that of a copy of the box; remember it once its birth was judged.

    A birth may come twice or late, through another replica even after the next session has begun: that is no copy.
    """
    session = arrival.status.session
    born = [tuple(one) for one in connection.scalar(select(_stream.c.sessions).where(_stream.c.id == stream.id)) or ()]
    if (session.counter, session.boot_nonce) in born:
        return
    counters = {counter for counter, _ in born}
    if gateway["stream_id"] == stream.stream_id and not _same_session(gateway, arrival.status):
        counters.add(gateway["session_counter"])  # whose birth may never have been heard
    reason = _contradiction(connection, stream, arrival, counters)
    if reason is not None:
        mark_conflict(connection, stream, reason)
    elif arrival.status.event == "birth":
        latest = [*born, (session.counter, session.boot_nonce)][-SESSIONS_KEPT:]
        connection.execute(update(_stream).where(_stream.c.id == stream.id).values(sessions=latest))


def _same_session(gateway: RowMapping, status: Status) -> bool:
    known = (gateway["session_counter"], gateway["boot_nonce"])
    return known == (status.session.counter, status.session.boot_nonce)


def _contradiction(
    connection: Connection, stream: OpenStream, arrival: StatusArrival, counters: Collection[int]
) -> str | None:
    """Why a session without a birth so far cannot be of the box that has filled the stream; nothing if it can."""
    status = arrival.status
    if status.session.counter in counters:
        return f"session {status.session.counter} of this stream came with another boot nonce: a cloned outbox"
    # Only what came before this birth counts: the new session's own records may overtake it.
    taken = highest_seq(connection, stream, before=arrival.received_at)
    if status.event == "birth" and status.next_seq <= taken:
        return f"next_seq fell back to {status.next_seq} although seq {taken} was taken: a restored outbox"
    return None


def _is_news(gateway: RowMapping, last: OpenStream, stream: OpenStream, status: Status) -> bool:
    """Whether this status is of the session last heard of or of a later one."""
    if _same_session(gateway, status):
        return True
    if stream.ordinal != last.ordinal:
        return stream.ordinal > last.ordinal
    return status.session.counter > int(gateway["session_counter"])


def _values(gateway: RowMapping, arrival: StatusArrival) -> dict[str, Any]:
    status = arrival.status
    if status.event == "will" and _same_session(gateway, status):
        # A will was written when the agent connected; all else that it says is older than what we know.
        return {"event": status.event, "received_at": arrival.received_at}
    return {
        "event": status.event,
        "session_counter": status.session.counter,
        "boot_nonce": status.session.boot_nonce,
        "stream_id": status.stream_id,
        "next_seq": status.next_seq,
        "heartbeat_interval_s": status.heartbeat_interval_s,
        "agent_version": status.agent_version,
        "sent_at": status.sent_at,
        "received_at": arrival.received_at,
        "report": msgspec.to_builtins(status),
    }
