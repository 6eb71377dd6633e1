"""The ledger: which (stream, seq) this store has taken, so that a repeat changes nothing and a clone is noticed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, func, insert, select, text, tuple_, update

from aggregator.store.arrivals import Answer, Entry
from aggregator.store.bulk import insert_rows, utc_text
from aggregator.store.ranges import union
from aggregator.store.tables import CurrentState, Receipt, Stream, core
from shared.messages import SeqRange
from shared.ranges import as_ranges

DIGEST_BYTES = 16
RUN_MAX_RECORDS = 1000

_state = core(CurrentState)
_stream = core(Stream)
_receipt = core(Receipt)

_WANTED = {
    "sqlite": "SELECT json_extract(value, '$[0]') AS stream, json_extract(value, '$[1]') AS first_seq, "
    "json_extract(value, '$[2]') AS last_seq FROM json_each(:wanted)",
    "postgresql": "SELECT (value->>0)::int AS stream, (value->>1)::bigint AS first_seq, "
    "(value->>2)::bigint AS last_seq FROM json_array_elements(CAST(:wanted AS json))",
}
# No run is longer than a maximum, so that those which reach into a range end at most so far behind it.
_OVERLAPPING = {
    dialect: text(
        f"WITH wanted AS ({wanted}) "  # noqa: S608  # a constant from above
        "SELECT receipt.stream, receipt.first_seq, receipt.last_seq, digests, quarantine_reason, "
        "wanted.first_seq, wanted.last_seq FROM wanted JOIN receipt ON receipt.stream = wanted.stream "
        f"AND receipt.last_seq BETWEEN wanted.first_seq AND wanted.last_seq + {RUN_MAX_RECORDS - 1} "
        "AND receipt.first_seq <= wanted.last_seq"
    )
    for dialect, wanted in _WANTED.items()
}
_COLUMNS = ("stream", "last_seq", "first_seq", "digests", "quarantine_reason", "received_at")


@dataclass(slots=True)
class OpenStream:
    """A stream as the store knows it, and what its gateway will be told."""

    id: int
    gateway_id: int
    stream_id: str
    ordinal: int
    conflict: str | None
    answer: Answer = field(default_factory=Answer)


class Item(NamedTuple):
    """One record, where they go one by one."""

    stream: OpenStream
    entry: Entry


class Parcel(NamedTuple):
    """Records of one stream on their way into the tables, by seq: what can be, is done for all of them at once."""

    stream: OpenStream
    entries: list[Entry]


StreamKey = tuple[int, str]
Known = tuple[bytes, str | None]
Refused = tuple[Item, str]


def open_streams(connection: Connection, keys: Iterable[StreamKey], now: datetime) -> dict[StreamKey, OpenStream]:
    """Find the streams of (gateway id, stream id) keys; one that is new gets its gateway's next ordinal.

    Until this transaction ends no other replica takes records of these streams.
    """
    wanted = list(dict.fromkeys(keys))
    known = _find_streams(connection, wanted)
    missing = [key for key in wanted if key not in known]
    if not missing:
        return known
    highest = (
        select(_stream.c.gateway_id, func.max(_stream.c.ordinal))
        .where(_stream.c.gateway_id.in_({gateway_id for gateway_id, _ in missing}))
        .group_by(_stream.c.gateway_id)
    )
    ordinals: dict[int, int] = dict(connection.execute(highest).all())
    for gateway_id, stream_id in missing:
        ordinals[gateway_id] = ordinals.get(gateway_id, 0) + 1
        connection.execute(
            insert(_stream).values(
                gateway_id=gateway_id, stream_id=stream_id, ordinal=ordinals[gateway_id], created_at=now
            )
        )
    return known | _find_streams(connection, missing)


def open_earlier_streams(
    connection: Connection, first_seen: Mapping[StreamKey, datetime]
) -> dict[StreamKey, OpenStream]:
    """Find streams whose records came in the past; one that is new is numbered among those there were then.

    With the next ordinal what is live now would count as older than it, and move no current state on any more.
    """
    keys = list(first_seen)
    known = _find_streams(connection, keys)
    for key in keys:
        if key not in known:
            _insert_stream(connection, key, first_seen[key])
    return _find_streams(connection, keys)


def _insert_stream(connection: Connection, key: StreamKey, at: datetime) -> None:
    gateway_id, stream_id = key
    is_of_gateway = _stream.c.gateway_id == gateway_id
    before = select(func.max(_stream.c.ordinal)).where(is_of_gateway, _stream.c.created_at <= at)
    ordinal = (connection.scalar(before) or 0) + 1
    # By way of the negative: the ordinals must differ after each row.
    connection.execute(
        update(_stream).where(is_of_gateway, _stream.c.ordinal >= ordinal).values(ordinal=-_stream.c.ordinal)
    )
    connection.execute(
        update(_stream).where(is_of_gateway, _stream.c.ordinal < 0).values(ordinal=1 - _stream.c.ordinal)
    )
    for half in (_state.c.telemetry_stream_ordinal, _state.c.prediction_stream_ordinal):
        is_behind = _state.c.gateway_id == gateway_id, half >= ordinal
        connection.execute(update(_state).where(*is_behind).values({half: half + 1}))
    connection.execute(
        insert(_stream).values(gateway_id=gateway_id, stream_id=stream_id, ordinal=ordinal, created_at=at)
    )


def _find_streams(connection: Connection, keys: Sequence[StreamKey]) -> dict[StreamKey, OpenStream]:
    columns = (_stream.c.id, _stream.c.gateway_id, _stream.c.stream_id, _stream.c.ordinal, _stream.c.conflict)
    query = (
        select(*columns)
        .where(tuple_(_stream.c.gateway_id, _stream.c.stream_id).in_(keys))
        .order_by(_stream.c.id)
        .with_for_update(key_share=True)
    )
    found = (OpenStream(*row) for row in connection.execute(query))
    return {(stream.gateway_id, stream.stream_id): stream for stream in found}


def mark_conflict(connection: Connection, stream: OpenStream, reason: str) -> None:
    """Refuse a stream from now on; the first reason stays."""
    if stream.conflict is None:
        stream.conflict = reason
        connection.execute(update(_stream).where(_stream.c.id == stream.id).values(conflict=reason))


def find_receipts(connection: Connection, parcels: Iterable[Parcel]) -> dict[int, dict[int, Known]]:
    """What the ledger holds of these records: digest and quarantine reason, by stream and seq."""
    wanted = [
        (parcel.stream.id, *one) for parcel in parcels for one in as_ranges(entry.seq for entry in parcel.entries)
    ]
    found: dict[int, dict[int, Known]] = {}
    query = _OVERLAPPING[connection.dialect.name]
    rows = connection.execute(query, {"wanted": msgspec.json.encode(wanted).decode()})
    for stream, first, last, digests, reason, wanted_first, wanted_last in rows:
        of_stream = found.setdefault(stream, {})
        for seq in range(max(first, wanted_first), min(last, wanted_last) + 1):
            at = (seq - first) * DIGEST_BYTES
            of_stream[seq] = bytes(digests[at : at + DIGEST_BYTES]), reason
    return found


def taken_ranges(connection: Connection, stream: OpenStream) -> list[SeqRange]:
    """Every seq that the ledger has taken of a stream."""
    query = select(_receipt.c.first_seq, _receipt.c.last_seq).where(_receipt.c.stream == stream.id)
    return union((first, last) for first, last in connection.execute(query))


def highest_seq(connection: Connection, stream: OpenStream, before: datetime) -> int:
    """The highest seq that the ledger took of a stream before an instant; 0 where there is none."""
    query = (
        select(_receipt.c.last_seq)
        .where(_receipt.c.stream == stream.id, _receipt.c.received_at < before)
        .order_by(_receipt.c.last_seq.desc())
        .limit(1)
    )
    return connection.scalar(query) or 0


def write_receipts(connection: Connection, taken: Iterable[Parcel], refused: Iterable[Refused]) -> None:
    """Note new records as taken, and others as quarantined with their reasons."""
    rows = [_row(parcel.stream, run, None) for parcel in taken for run in _runs(parcel.entries)]
    rows += [_row(item.stream, [item.entry], reason) for item, reason in refused]
    insert_rows(connection, "receipt", _COLUMNS, rows)


def _runs(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Cut the records of a stream into runs of consecutive seqs."""
    begin = 0
    for end in range(1, len(entries) + 1):
        if end == len(entries) or entries[end].seq != entries[end - 1].seq + 1 or end - begin == RUN_MAX_RECORDS:
            yield entries[begin:end]
            begin = end


def _row(stream: OpenStream, run: Sequence[Entry], reason: str | None) -> tuple[object, ...]:
    received_at = max([entry.received_at for entry in run])
    digests = b"".join([entry.digest for entry in run])
    return stream.id, run[-1].seq, run[0].seq, digests, reason, utc_text(received_at)
