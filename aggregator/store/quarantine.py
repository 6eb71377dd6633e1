"""The quarantine: what the centre keeps but does not use, with its raw bytes and the reason."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, tuple_

from aggregator.access.roles import THIS_MACHINE, Caller
from aggregator.store.arrivals import Entry
from aggregator.store.audit import Change, audit
from aggregator.store.database import Store
from aggregator.store.tables import Quarantine, core
from shared.messages import ENVELOPE_MAX_BYTES, digest

_quarantine = core(Quarantine)

# What a message read before must still have to be the same one; a store that was restored numbers from an older id.
IDENTITY = tuple(_quarantine.c[name] for name in ("id", "topic", "stream_id", "seq", "digest"))


@dataclass(frozen=True, slots=True)
class SetAside:
    """One message or record to keep; ``stream_id``, ``seq`` and ``engine`` are null where they could not be read."""

    topic: str
    site: str
    gateway: str
    stream_id: str | None
    seq: int | None
    reason: str
    body: bytes
    received_at: datetime
    engine: str | None = None


def record_set_aside(entry: Entry, stream_id: str, reason: str) -> SetAside:
    """One record to keep."""
    return SetAside(
        topic=str(entry.topic),
        site=entry.topic.site,
        gateway=entry.topic.gateway,
        stream_id=stream_id,
        seq=entry.seq,
        reason=reason,
        body=entry.body,
        received_at=entry.received_at,
        engine=getattr(entry.record, "engine", None),
    )


def set_aside(connection: Connection, kept: list[SetAside]) -> None:
    """Keep messages that no ledger remembers; one that is here already is not kept twice."""
    if not kept:
        return
    columns = (_quarantine.c.topic, _quarantine.c.stream_id, _quarantine.c.seq, _quarantine.c.digest)
    by_key = {(one.topic, one.stream_id, one.seq, digest(one.body)): one for one in kept}
    query = select(*columns).where(
        tuple_(_quarantine.c.topic, _quarantine.c.digest).in_([(key[0], key[3]) for key in by_key])
    )
    present = {tuple(row) for row in connection.execute(query)}
    keep_records(connection, [one for key, one in by_key.items() if key not in present])


def keep_records(connection: Connection, kept: list[SetAside]) -> None:
    """Keep records that the ledger tells from repeats."""
    rows = [
        {
            "gateway": one.gateway,
            "site": one.site,
            "topic": one.topic,
            "stream_id": one.stream_id,
            "seq": one.seq,
            "engine": one.engine,
            "reason": one.reason,
            "body": one.body[:ENVELOPE_MAX_BYTES],  # nothing longer is a legal message
            "digest": digest(one.body),
            "received_at": one.received_at,
        }
        for one in kept
    ]
    if rows:
        connection.execute(insert(_quarantine), rows)


def discard(store: Store, message: Quarantine, now: datetime, *, by: Caller = THIS_MACHINE) -> bool:
    """Throw a message away; the ledger goes on answering that it was quarantined. Returns whether it was here."""
    is_it = (column == getattr(message, column.name) for column in IDENTITY)
    with store.session(writes=True) as session:
        gone = session.connection().execute(delete(_quarantine).where(*is_it)).rowcount > 0
        if gone:
            subject = f"message {message.id} of gateway {message.gateway}"
            change = Change("quarantine.discard", subject, message.site or None, before={"reason": message.reason})
            audit(session, by, now, change)
        session.commit()
    return gone
