"""What one ingest transaction does: tell repeats from news by the ledger, place what is new, write it all."""

from collections.abc import Sequence

from sqlalchemy import Connection

from aggregator.store.admission import admit, keep_malformed
from aggregator.store.arrivals import (
    Arrival,
    DeferredArrival,
    Entry,
    EnvelopeArrival,
    MalformedArrival,
    Outcome,
    ReplyArrival,
    StatusArrival,
)
from aggregator.store.commands import note_predictions, take_reply
from aggregator.store.current import advance
from aggregator.store.ledger import Known, OpenStream, Parcel, find_receipts, mark_conflict, write_receipts
from aggregator.store.missing import miss_dropped
from aggregator.store.placements import Sorted, place
from aggregator.store.quarantine import keep_records, record_set_aside
from aggregator.store.rows import write_records
from aggregator.store.statuses import take_status
from aggregator.store.subjects import sort_out_known
from aggregator.store.taken_cycles import take_cycles


def write(
    connection: Connection, arrivals: Sequence[Arrival], *, wary: bool = False, redriven: bool = False
) -> Outcome:
    """Write a batch; what it returns is true once the transaction is committed.

    Args:
        connection: in a transaction that nothing was written in yet.
        arrivals: the batch.
        wary: look for records whose subject is stored already, and compare them; without it such a record
            fails the transaction by its second key, and whoever failed tries again warily.
        redriven: it came in the past, maybe before streams that are here.

    Raises:
        TakenError: a subject is stored already, or another replica stores it at this moment.
        IntegrityError: another replica wrote the same.
    """
    outcome = Outcome()
    # Statuses first: a birth is judged by what was taken before it.
    for arrival in arrivals:
        if isinstance(arrival, StatusArrival):
            take_status(connection, arrival, outcome, redriven=redriven)
        elif isinstance(arrival, ReplyArrival):
            take_reply(connection, arrival)
    keep_malformed(connection, [one for one in arrivals if isinstance(one, MalformedArrival)], outcome)
    envelopes = [one for one in arrivals if isinstance(one, EnvelopeArrival)]
    if envelopes:
        _take_envelopes(connection, envelopes, outcome, wary=wary, redriven=redriven)
    for arrival in arrivals:
        if isinstance(arrival, DeferredArrival):
            answer = outcome.answer(arrival.topic, arrival.stream_id)
            answer.deferred |= dict.fromkeys(arrival.seqs, arrival.reason)
    return outcome


def _take_envelopes(
    connection: Connection, envelopes: Sequence[EnvelopeArrival], outcome: Outcome, *, wary: bool, redriven: bool
) -> None:
    parcels = admit(connection, envelopes, outcome, redriven=redriven)
    result = place(connection, _drop_repeats(connection, parcels, outcome))
    if wary:
        sort_out_known(connection, result)
    taken = result.taken()
    take_cycles(connection, result.placed)
    write_records(connection, result)
    write_receipts(connection, taken, result.refused)
    keep_records(
        connection, [record_set_aside(item.entry, item.stream.stream_id, reason) for item, reason in result.refused]
    )
    miss_dropped(connection, result.gaps)
    advance(connection, result.placed)
    note_predictions(connection, result.placed)
    for parcel in taken:
        parcel.stream.answer.committed.update([entry.seq for entry in parcel.entries])
    for item, reason in result.refused:
        item.stream.answer.quarantined[item.entry.seq] = reason
    _count(result, outcome)


def _drop_repeats(connection: Connection, parcels: Sequence[Parcel], outcome: Outcome) -> list[Parcel]:
    """Answer what the ledger knows and refuse streams that contradict it; what remains is new to it."""
    taken = find_receipts(connection, parcels)
    new: list[Parcel] = []
    for parcel in parcels:
        stream = parcel.stream
        known = taken.get(stream.id, {})
        is_all_new = not known and len({entry.seq for entry in parcel.entries}) == len(parcel.entries)
        entries = parcel.entries if is_all_new else _new_entries(connection, parcel, known, outcome)
        if stream.conflict is not None:
            stream.answer.refuse(stream.conflict)
        elif entries:
            new.append(Parcel(stream, entries))
    return new


def _new_entries(connection: Connection, parcel: Parcel, taken: dict[int, Known], outcome: Outcome) -> list[Entry]:
    """What is new of a stream, record by record; a stream that contradicts itself is marked."""
    digests: dict[int, bytes] = {}
    new: list[Entry] = []
    for entry in parcel.entries:
        seq = entry.seq
        if seq not in taken and seq not in digests:
            digests[seq] = entry.digest
            new.append(entry)
            continue
        digest, reason = taken[seq] if seq in taken else (digests[seq], None)
        if digest != entry.digest:
            mark_conflict(connection, parcel.stream, f"seq {seq} came again with other content")
        else:
            outcome.duplicate_records += 1
            if seq in taken:
                _answer_repeat(parcel.stream, seq, reason)
    return new


def _answer_repeat(stream: OpenStream, seq: int, reason: str | None) -> None:
    if reason is None:
        stream.answer.committed.add(seq)
    else:
        stream.answer.quarantined[seq] = reason


def _count(result: Sorted, outcome: Outcome) -> None:
    outcome.committed_records += sum(len(one.entries) for one in result.placed) + len(result.gaps)
    outcome.duplicate_records += len(result.present)
    if result.refused:
        outcome.count_quarantined(len(result.refused), result.refused[0][1])
