"""Commands that people send to gateways, and what became of them, whichever aggregator hears it."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import uuid4

import msgspec
import structlog
from sqlalchemy import Connection, delete, func, select, update
from sqlmodel import Session, col, tuple_
from sqlmodel import select as read

from aggregator.access.roles import THIS_MACHINE, Caller, Sites
from aggregator.store import samples
from aggregator.store.arrivals import ReplyArrival
from aggregator.store.audit import Change, audit
from aggregator.store.database import Store
from aggregator.store.missing import miss_unavailable
from aggregator.store.placements import Placed
from aggregator.store.ranges import intersect
from aggregator.store.registry import key_of
from aggregator.store.samples import keep_part
from aggregator.store.tables import Engine, Gateway, GatewayCommand, Model, Prediction, core
from shared import messages
from shared.messages import Command, Order

# What a gateway has on its disk comes as soon as its line allows; but it may have been quarantined.
RECORD_WITHIN = timedelta(hours=1)
KEPT = timedelta(days=90)
"""For how long it is told what became of a command; that it was sent stays in the audit log."""
FORGOTTEN_AT_ONCE = 500

State = Literal["waiting", "done", "refused", "expired"]

log = structlog.get_logger(__name__)

_command, _gateway = core(GatewayCommand), core(Gateway)


def issue(
    store: Store,
    gateway: Gateway,
    order: Order,
    now: datetime,
    expires_at: datetime,
    *,
    engine: Engine | None = None,
    by: Caller = THIS_MACHINE,
) -> Command:
    """Note a command, and who sends it; whoever calls this has it signed and published.

    Args:
        store: where.
        gateway: to whom.
        order: what it is to do.
        now: when it is sent.
        expires_at: until when the gateway may begin.
        engine: which engine it is about.
        by: who sends it.
    """
    command = Command(
        command_id=str(uuid4()),
        site=gateway.site,
        gateway=gateway.name,
        issued_at=now,
        expires_at=expires_at,
        order=order,
    )
    asked = msgspec.to_builtins(order)
    with store.session(writes=True) as session:
        session.add(
            GatewayCommand(
                id=command.command_id,
                gateway_id=key_of(gateway.id),
                engine_id=None if engine is None else engine.id,
                asked=asked,
                issued_at=now,
                expires_at=expires_at,
            )
        )
        after = asked | {"id": command.command_id}
        audit(session, by, now, Change("gateway.command", f"gateway {gateway.name}", gateway.site, after=after))
        session.commit()
    return command


def take_reply(connection: Connection, arrival: ReplyArrival) -> None:
    """Note what a gateway says it did; the first word of it counts, and only that gateway's.

    Seqs are missing for good only if the centre itself asked for them, which it does of what was there once. A person
    may ask for anything.
    """
    topic, reply = arrival.topic, arrival.reply
    if reply.outcome == "refused":
        log.warning("command_refused", gateway=topic.gateway, command_id=reply.command_id, reason=reply.reason)
    query = (
        select(_command.c.id, _command.c.asked, _command.c.unavailable, _gateway.c.site, _gateway.c.name)
        .join(_gateway, _gateway.c.id == _command.c.gateway_id)
        .where(_command.c.id == reply.command_id)
        .with_for_update(of=_command)
    )
    found = connection.execute(query).one_or_none()
    if found is None:
        miss_unavailable(connection, arrival)
        return
    if (found.site, found.name) != (topic.site, topic.gateway):
        return
    this = update(_command).where(_command.c.id == found.id)
    is_done = reply.samples is None or keep_part(connection, found.id, found.asked, reply.samples).is_whole
    said = {"outcome": reply.outcome if is_done else None, "reason": reply.reason}
    first_heard = func.coalesce(_command.c.answered_at, arrival.received_at)
    connection.execute(this.where(_command.c.outcome.is_(None)).values(**said, answered_at=first_heard))
    known = [(first, last) for first, last in found.unavailable or ()]
    asked = [(first, last) for first, last in found.asked.get("ranges", ())]
    unavailable = intersect(asked, [*known, *reply.unavailable])
    if unavailable != known:
        connection.execute(this.values(unavailable=unavailable))


def forget_old(store: Store, now: datetime) -> int:
    """Delete the commands that were sent longer than ``KEPT`` ago, and samples that came of them sooner.

    Returns how many commands they were.
    """
    with store.writing() as connection:
        samples.forget_old(connection, select(_command.c.id).where(_command.c.issued_at < now - samples.KEPT))
    old = select(_command.c.id).where(_command.c.issued_at < now - KEPT).limit(FORGOTTEN_AT_ONCE)
    forgotten = 0
    while True:
        with store.writing() as connection:
            some = connection.execute(delete(_command).where(_command.c.id.in_(old))).rowcount
        forgotten += some
        if some < FORGOTTEN_AT_ONCE:
            return forgotten


def note_predictions(connection: Connection, placed: Iterable[Placed]) -> None:
    """Note which of these predictions answer commands to the gateways that they come from."""
    for one in placed:
        if one.kind is not messages.Prediction:
            continue
        for entry in one.entries:
            record = entry.record
            if isinstance(record, messages.Prediction) and record.origin == "command":
                connection.execute(
                    update(_command)
                    .where(
                        _command.c.id == record.request_id,
                        _command.c.gateway_id == one.stream.gateway_id,
                        _command.c.engine_id == one.place.engine_id,
                        _command.c.cycle.is_(None),
                    )
                    .values(cycle=record.cycle)
                )


def state_of(command: GatewayCommand, now: datetime) -> State:
    """How far a command has come; a prediction is there only once the record of it is."""
    if command.cycle is not None:
        return "done"
    if command.outcome == "refused":
        return "refused"
    if command.outcome == "done" and command.engine_id is None:
        return "done"
    if command.answered_at is not None:
        return "waiting" if now < command.answered_at + RECORD_WITHIN else "expired"
    return "waiting" if now < command.expires_at else "expired"


def find_commands(session: Session, ids: Iterable[str]) -> Sequence[GatewayCommand]:
    """Read commands by their ids."""
    return session.exec(read(GatewayCommand).where(col(GatewayCommand.id).in_(list(ids)))).all()


def find_asked(session: Session, sites: Sites, id: str) -> tuple[GatewayCommand, str] | None:
    """Read one command about an engine that is at these sites now, and that engine's serial."""
    statement = read(GatewayCommand, Engine.serial).join(Engine, col(Engine.id) == GatewayCommand.engine_id)
    statement = statement.where(GatewayCommand.id == id)
    if sites is not None:
        statement = statement.where(col(Engine.site).in_(sorted(sites)))
    return session.exec(statement).first()


def find_command(session: Session, sites: Sites, id: str, gateway: str | None = None) -> GatewayCommand | None:
    """Read one command to a gateway of these sites, or to this one."""
    statement = read(GatewayCommand).join(Gateway, col(Gateway.id) == GatewayCommand.gateway_id)
    statement = statement.where(GatewayCommand.id == id)
    if sites is not None:
        statement = statement.where(col(Gateway.site).in_(sorted(sites)))
    if gateway is not None:
        statement = statement.where(Gateway.name == gateway)
    return session.exec(statement).first()


def list_commands(
    session: Session, gateway: Gateway, after: tuple[datetime, str] | None = None, limit: int | None = None
) -> Sequence[GatewayCommand]:
    """Read the commands to a gateway, newest first; ``after`` is when the one to go on behind was sent, and its id."""
    place = tuple_(col(GatewayCommand.issued_at), col(GatewayCommand.id))
    statement = (
        read(GatewayCommand)
        .where(GatewayCommand.gateway_id == gateway.id)
        .order_by(col(GatewayCommand.issued_at).desc(), col(GatewayCommand.id).desc())
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(place < tuple_(*after))
    return session.exec(statement).all()


def predicted_by(session: Session, command: GatewayCommand) -> tuple[Prediction, Model] | None:
    """Read the prediction that answers a command, once it is there."""
    if command.cycle is None:
        return None
    statement = (
        read(Prediction, Model)
        .join(Model, col(Model.id) == col(Prediction.model_id))
        .where(
            Prediction.engine_id == command.engine_id,
            Prediction.cycle == command.cycle,
            Prediction.origin == "command",
            Prediction.request_id == command.id,
        )
    )
    return session.exec(statement).first()
