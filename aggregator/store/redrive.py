"""Takes quarantined records once more, as if they had just come; what is refused again stays where it is."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, select, tuple_, update
from sqlmodel import Session

from aggregator.access.roles import THIS_MACHINE, Caller
from aggregator.store.admission import admit
from aggregator.store.arrivals import Entry, EnvelopeArrival, Outcome
from aggregator.store.audit import Change, audit
from aggregator.store.commands import note_predictions
from aggregator.store.commit import against_races, is_outage
from aggregator.store.current import advance
from aggregator.store.database import Store
from aggregator.store.ledger import Known, OpenStream, Parcel, find_receipts, write_receipts
from aggregator.store.missing import miss_dropped
from aggregator.store.placements import place
from aggregator.store.quarantine import IDENTITY
from aggregator.store.rows import write_records
from aggregator.store.subjects import sort_out_known
from aggregator.store.tables import Quarantine, Receipt, core
from aggregator.store.taken_cycles import take_cycles
from shared.messages import as_reason

_quarantine, _receipt = core(Quarantine), core(Receipt)

Key = tuple[str, str, int]
Verdicts = dict[int, str | None]


class Kept(NamedTuple):
    """A quarantined record as it reads now, with its id in the quarantine."""

    id: int
    stream_id: str
    entry: Entry

    @property
    def key(self) -> Key:
        """Gateway, stream and seq."""
        return self.entry.topic.gateway, self.stream_id, self.entry.seq

    @property
    def identity(self) -> tuple[object, ...]:
        """What tells it from every other record in the quarantine, as ``IDENTITY`` has it."""
        return self.id, str(self.entry.topic), self.stream_id, self.entry.seq, self.entry.digest


def redrive_records(store: Store, kept: Sequence[Kept], now: datetime, *, by: Caller = THIS_MACHINE) -> Verdicts:
    """Take records out of the quarantine into the tables, all that can be in one transaction.

    A stream's conflict does not matter here: the record was set aside before, or because of something else. Its place
    among the records of its stream, and when it was received, stay as they were.

    Returns:
        By id, why it is refused still, or None if it was taken or is in the tables already. Of records with one key
        only one is looked at, and ids that somebody else took out meanwhile are left out.
    """
    try:
        return against_races(store, lambda connection, _: _redrive(connection, kept, now, by))
    except Exception as error:
        if is_outage(error):
            raise
        if len(kept) == 1:
            return {kept[0].id: as_reason(f"the store cannot take it: {error}")}
    half = len(kept) // 2
    return redrive_records(store, kept[:half], now, by=by) | redrive_records(store, kept[half:], now, by=by)


def _redrive(connection: Connection, kept: Sequence[Kept], now: datetime, by: Caller) -> Verdicts:
    locked = select(*IDENTITY).where(_quarantine.c.id.in_([one.id for one in kept])).order_by(_quarantine.c.id)
    here = {tuple(row) for row in connection.execute(locked.with_for_update())}
    ids = {one.key: one.id for one in kept if one.identity in here}
    wanted = [one for one in kept if ids.get(one.key) == one.id]
    refused, taken = _take(connection, wanted)
    verdicts: Verdicts = {ids[key]: reason for key, reason in refused.items()}
    verdicts |= dict.fromkeys((ids[key] for key in taken), None)
    _settle(connection, verdicts)
    _log(connection, [one for one in wanted if one.key in taken], now, by)
    return verdicts


def _log(connection: Connection, taken: Sequence[Kept], now: datetime, by: Caller) -> None:
    """Add an entry for each gateway."""
    gateways: dict[tuple[str, str], list[int]] = {}
    for one in taken:
        gateways.setdefault((one.entry.topic.site, one.entry.topic.gateway), []).append(one.id)
    with Session(connection) as session:
        for (site, gateway), ids in gateways.items():
            subject = f"{len(ids)} records of gateway {gateway}"
            audit(session, by, now, Change("quarantine.redrive", subject, site, before={"ids": ids}))
        session.flush()


def _take(connection: Connection, wanted: Sequence[Kept]) -> tuple[dict[Key, str], list[Key]]:
    """Write what has a place by now; returns why the others are refused, and what is in the tables now."""
    if not wanted:
        return {}, []
    outcome = Outcome()
    envelopes = [EnvelopeArrival(one.entry.topic, one.stream_id, [one.entry], one.entry.received_at) for one in wanted]
    parcels = admit(connection, envelopes, outcome, redriven=True)
    refused = {
        (topic.gateway, stream_id, seq): reason
        for (topic, stream_id), answer in outcome.answers.items()
        for seq, reason in answer.quarantined.items()
    }
    known = find_receipts(connection, parcels)
    result = place(connection, [_unsettled(parcel, known.get(parcel.stream.id, {}), refused) for parcel in parcels])
    sort_out_known(connection, result)
    refused |= {_key(item.stream, item.entry): reason for item, reason in result.refused}
    placed = result.taken()
    seqs = [(parcel.stream.id, entry.seq) for parcel in placed for entry in parcel.entries]
    set_aside = tuple_(_receipt.c.stream, _receipt.c.last_seq).in_(seqs), _receipt.c.quarantine_reason.is_not(None)
    connection.execute(delete(_receipt).where(*set_aside))
    take_cycles(connection, result.placed)
    write_records(connection, result)
    write_receipts(connection, placed, [])
    miss_dropped(connection, result.gaps)
    advance(connection, result.placed)
    note_predictions(connection, result.placed)
    return refused, [one.key for one in wanted if one.key not in refused]


def _unsettled(parcel: Parcel, known: dict[int, Known], refused: dict[Key, str]) -> Parcel:
    """What of a parcel the ledger does not have as taken; refuses what contradicts the ledger."""
    stream = parcel.stream
    new: list[Entry] = []
    for entry in parcel.entries:
        digest, reason = known.get(entry.seq, (entry.digest, "not known"))
        if digest != entry.digest:
            refused[_key(stream, entry)] = f"seq {entry.seq} of this stream came with other content as well"
        elif reason is not None:
            new.append(entry)
    return Parcel(stream, new)


def _key(stream: OpenStream, entry: Entry) -> Key:
    return entry.topic.gateway, stream.stream_id, entry.seq


def _settle(connection: Connection, verdicts: Verdicts) -> None:
    gone = [quarantine_id for quarantine_id, reason in verdicts.items() if reason is None]
    stay = [{"this": quarantine_id, "reason": reason} for quarantine_id, reason in verdicts.items() if reason]
    if gone:
        connection.execute(delete(_quarantine).where(_quarantine.c.id.in_(gone)))
    if stay:
        connection.execute(update(_quarantine).where(_quarantine.c.id == bindparam("this")), stay)
