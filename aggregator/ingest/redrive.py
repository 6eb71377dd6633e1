"""Takes quarantined messages once more, after whatever they were refused for was put right."""

from collections.abc import Callable, Iterable
from datetime import datetime

from aggregator.access.roles import THIS_MACHINE, Caller
from aggregator.ingest.intake import arrive, read_entry
from aggregator.store.arrivals import (
    DeferredArrival,
    EnvelopeArrival,
    MalformedArrival,
    Outcome,
    ReplyArrival,
    StatusArrival,
)
from aggregator.store.commit import commit
from aggregator.store.database import Store
from aggregator.store.quarantine import discard
from aggregator.store.redrive import Kept, Verdicts, redrive_records
from aggregator.store.tables import Quarantine
from shared.topics import GatewayTopic


def redrive(
    store: Store,
    messages: Iterable[Quarantine],
    now: datetime,
    *,
    by: Caller = THIS_MACHINE,
    follow: Callable[[Outcome], None],
) -> Verdicts:
    """Decode messages as this version of the program does, and take those that it can use now.

    Args:
        store: where they are.
        messages: which.
        now: when.
        by: who wants it.
        follow: sees to what a batch asks of gateways, such as a birth does that tells a new store what is held.

    Returns:
        By id, why a message is refused still, or None if it was taken.
    """
    verdicts: Verdicts = {}
    records: list[Kept] = []
    for one in messages:
        if one.id is None:
            raise ValueError("a message that was never written cannot be redriven")
        if one.stream_id is None or one.seq is None:
            verdicts[one.id] = _redrive_message(store, one, now, by, follow)
        else:
            entry = read_entry(one.seq, one.body, GatewayTopic.parse(one.topic), one.received_at)
            records.append(Kept(one.id, one.stream_id, entry))
    return verdicts | redrive_records(store, records, now, by=by)


def _redrive_message(
    store: Store, message: Quarantine, now: datetime, by: Caller, follow: Callable[[Outcome], None]
) -> str | None:
    """Take a whole message; of its records each has a fate of its own from then on."""
    arrival = arrive(message.topic, message.body, message.received_at)
    if isinstance(arrival, MalformedArrival | DeferredArrival):
        return arrival.reason
    outcome = commit(store, [arrival], redriven=True)
    follow(outcome)
    refused = _why_refused(arrival, outcome)
    if refused is None:
        discard(store, message, now, by=by)
    return refused


def _why_refused(arrival: EnvelopeArrival | StatusArrival | ReplyArrival, outcome: Outcome) -> str | None:
    """Why not all of a message is kept elsewhere now; None if it is."""
    if outcome.strangers:
        return f"gateway {arrival.topic.gateway} is not registered at site {arrival.topic.site}"
    if outcome.unusable_messages:
        return "the store cannot take it; the log says why"
    if not isinstance(arrival, EnvelopeArrival) and outcome.quarantined_records:
        return outcome.first_reason
    return next((answer.conflict for answer in outcome.answers.values() if answer.conflict is not None), None)
