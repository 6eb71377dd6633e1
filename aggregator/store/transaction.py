"""What one ingest transaction does: tell repeats from news by the ledger, place what is new, write it all."""

from collections.abc import Sequence

from sqlalchemy import Connection

from aggregator.store.admission import admit, keep_malformed
from aggregator.store.arrivals import (
    Arrival,
    DeferredArrival,
    EnvelopeArrival,
    MalformedArrival,
    Outcome,
    ReplyArrival,
    StatusArrival,
)
from aggregator.store.current import advance
from aggregator.store.ledger import Item, find_receipts, mark_conflict, write_receipts
from aggregator.store.missing import miss_dropped, miss_unavailable
from aggregator.store.placements import Sorted, place
from aggregator.store.quarantine import SetAside, keep_records
from aggregator.store.rows import write_records
from aggregator.store.statuses import take_status
from aggregator.store.subjects import sort_out_known


def write(connection: Connection, arrivals: Sequence[Arrival], *, wary: bool = False) -> Outcome:
    """Write a batch; what it returns is true once the transaction is committed.

    Args:
        connection: in a transaction that nothing was written in yet.
        arrivals: the batch.
        wary: look for records whose subject is stored already, and compare them; without it such a record
            fails the transaction by its second key, and whoever failed tries again warily.

    Raises:
        IntegrityError: another replica wrote the same, or a subject is stored already.
    """
    outcome = Outcome()
    # Statuses first: a birth is judged by what was taken before it.
    for arrival in arrivals:
        if isinstance(arrival, StatusArrival):
            take_status(connection, arrival, outcome)
        elif isinstance(arrival, ReplyArrival):
            miss_unavailable(connection, arrival)
    keep_malformed(connection, [one for one in arrivals if isinstance(one, MalformedArrival)], outcome)
    envelopes = [one for one in arrivals if isinstance(one, EnvelopeArrival)]
    if envelopes:
        _take_envelopes(connection, envelopes, outcome, wary=wary)
    for arrival in arrivals:
        if isinstance(arrival, DeferredArrival):
            answer = outcome.answer(arrival.topic, arrival.stream_id)
            answer.deferred |= dict.fromkeys(arrival.seqs, arrival.reason)
    return outcome


def _take_envelopes(
    connection: Connection, envelopes: Sequence[EnvelopeArrival], outcome: Outcome, *, wary: bool
) -> None:
    items = admit(connection, envelopes, outcome)
    result = place(connection, _drop_repeats(connection, items, outcome))
    if wary:
        sort_out_known(connection, result)
    write_records(connection, result)
    write_receipts(connection, result.taken(), result.refused)
    keep_records(connection, [_set_aside(item, reason) for item, reason in result.refused])
    miss_dropped(connection, result.gaps)
    advance(connection, result.placed)
    _answer(result, outcome)


def _drop_repeats(connection: Connection, items: Sequence[Item], outcome: Outcome) -> list[Item]:
    """Answer what the ledger knows and refuse streams that contradict it; what remains is new to it."""
    taken = find_receipts(connection, items)
    new: dict[tuple[int, int], Item] = {}
    for item in items:
        key = (item.stream.id, item.entry.seq)
        if key not in new and key not in taken:
            new[key] = item
            continue
        digest, reason = taken[key] if key in taken else (new[key].entry.digest, None)
        if digest != item.entry.digest:
            mark_conflict(connection, item.stream, f"seq {item.entry.seq} came again with other content")
        else:
            outcome.duplicate_records += 1
            if key in taken:
                _answer_repeat(item, reason)
    refused = {item.stream.id: item.stream for item in items if item.stream.conflict is not None}
    for stream in refused.values():
        stream.answer.refuse(stream.conflict or "")
    return [item for item in new.values() if item.stream.id not in refused] if refused else list(new.values())


def _answer_repeat(item: Item, reason: str | None) -> None:
    if reason is None:
        item.stream.answer.committed.add(item.entry.seq)
    else:
        item.stream.answer.quarantined[item.entry.seq] = reason


def _set_aside(item: Item, reason: str) -> SetAside:
    topic = item.envelope.topic
    return SetAside(
        topic=str(topic),
        site=topic.site,
        gateway=topic.gateway,
        stream_id=item.stream.stream_id,
        seq=item.entry.seq,
        reason=reason,
        body=item.entry.body,
        received_at=item.envelope.received_at,
    )


def _answer(result: Sorted, outcome: Outcome) -> None:
    for item in result.taken():
        item.stream.answer.committed.add(item.entry.seq)
    for item, reason in result.refused:
        item.stream.answer.quarantined[item.entry.seq] = reason
    outcome.committed_records += len(result.placed) + len(result.gaps)
    outcome.duplicate_records += len(result.present)
    if result.refused:
        outcome.count_quarantined(len(result.refused), result.refused[0][1])
