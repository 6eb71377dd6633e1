"""Commits one batch of arrivals, against races with other replicas and against content a database refuses."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog
from msgspec.structs import replace
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, SQLAlchemyError, StatementError

from aggregator.store.arrivals import (
    Arrival,
    EnvelopeArrival,
    MalformedArrival,
    Outcome,
    ReplyArrival,
    StatusArrival,
)
from aggregator.store.database import Store
from aggregator.store.taken_cycles import TakenError
from aggregator.store.transaction import write
from shared import messages

log = structlog.get_logger(__name__)

Result = TypeVar("Result")

ATTEMPTS = 5
# PostgreSQL's SQLSTATEs, one and a class of them, such as a value that is too long for an index.
DEADLOCK = "40P01"
LIMIT_EXCEEDED = "54"


def commit(store: Store, arrivals: Sequence[Arrival], *, redriven: bool = False) -> Outcome:
    """Commit a batch in one transaction and say what became of each record.

    A batch that cannot be written for its content is halved until the culprit stands alone, which is
    quarantined, or dropped without an answer if not even that can be done. What a database raises that is busy,
    broken or gone is raised, with nothing written. What is ``redriven`` came in the past, maybe before streams that are
    here.
    """
    try:
        return against_races(
            store, lambda connection, attempt: write(connection, arrivals, wary=attempt > 1, redriven=redriven)
        )
    except Exception as error:
        if is_outage(error):
            raise
        reason = messages.as_reason(f"the store cannot take it: {error}")
    parts = _apart(arrivals, reason)
    outcome = Outcome()
    if not parts:
        log.error("message_dropped", topic=str(arrivals[0].topic), reason=reason)
        outcome.unusable_messages = 1
    for part in parts:
        outcome.add(commit(store, part, redriven=redriven))
    return outcome


def is_outage(error: Exception) -> bool:
    """Whether an error is the state of the database or the machine and not what was to be written."""
    if isinstance(error, (OSError, MemoryError, TakenError)):
        return True
    if isinstance(error, DBAPIError):
        sqlstate = getattr(error.orig, "sqlstate", None) or ""
        return not isinstance(error, DataError) and not sqlstate.startswith(LIMIT_EXCEEDED)
    return isinstance(error, SQLAlchemyError) and not isinstance(error, StatementError)


def against_races(store: Store, work: Callable[[Connection, int], Result]) -> Result:
    """Do work in one transaction, and again if a key was there already or another replica took the same locks.

    Args:
        store: where.
        work: takes the connection and which attempt this is, from 1.
    """
    attempt = 1
    while True:
        try:
            with store.writing() as connection:
                return work(connection, attempt)
        except (TakenError, IntegrityError, OperationalError) as error:
            cause = getattr(error, "orig", error)
            raced = not isinstance(error, OperationalError) or getattr(cause, "sqlstate", None) == DEADLOCK
            if not raced or attempt == ATTEMPTS:
                raise
            attempt += 1
            log.debug("transaction_tried_again", attempt=attempt, error=str(cause))


def _apart(arrivals: Sequence[Arrival], reason: str) -> list[list[Arrival]]:
    """Two halves of a batch, or of its only envelope; a culprit that stands alone, made harmless if it can be."""
    if len(arrivals) > 1:
        half = len(arrivals) // 2
        return [list(arrivals[:half]), list(arrivals[half:])]
    match arrivals[0]:
        case EnvelopeArrival(entries=[entry]) as envelope if entry.record is not None:
            log.warning("record_refused_by_store", topic=str(envelope.topic), seq=entry.seq, reason=reason)
            return [[replace(envelope, entries=[replace(entry, record=None, reason=reason)])]]
        case EnvelopeArrival(entries=[_, _, *_] as entries) as envelope:
            half = len(entries) // 2
            return [[replace(envelope, entries=part)] for part in (entries[:half], entries[half:])]
        case StatusArrival(topic, message, received_at) | ReplyArrival(topic, message, received_at):
            return [[MalformedArrival(str(topic), messages.encode(message), reason, received_at)]]
        case _:
            return []
