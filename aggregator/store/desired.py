"""What each gateway is told of the engines that hang there: marked when something changes, then made anew."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, func, or_, select, update
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from aggregator.fleet.ages import Age, Stay, ages_of
from aggregator.store.database import Store
from aggregator.store.tables import Engine, Gateway, GatewayDesired, Installation, Overhaul, Telemetry, core
from shared import messages
from shared.desired import SEED_FIRST_ROWS, SEED_LAST_ROWS, DesiredEngine, EngineDesired, Seed
from shared.errors import MessageError

_desired, _overhaul = core(GatewayDesired), core(Overhaul)
_engine, _gateway, _installation, _telemetry = core(Engine), core(Gateway), core(Installation), core(Telemetry)

_Numbered = tuple[int, dict[str, float | None]]


class Message(NamedTuple):
    """What a gateway is told: where, which of all there ever were, and the encoded ``EngineDesired``."""

    site: str
    gateway: str
    ordinal: int
    body: bytes


def mark_stale(session: Session, engine_ids: Iterable[int] = (), gateway_ids: Iterable[int] = ()) -> None:
    """Note, in the transaction of a change, that these gateways, and those where these engines hang, have news."""
    session.flush()
    hangs = select(_installation.c.gateway_id).where(
        _installation.c.engine_id.in_(list(engine_ids)), _installation.c.installed_to.is_(None)
    )
    meant = or_(_desired.c.gateway_id.in_(list(gateway_ids)), _desired.c.gateway_id.in_(hangs))
    session.connection().execute(update(_desired).where(meant).values(stale=True))


def mark_restored(store: Store, epoch: str) -> None:
    """Note that all messages that another history of this store has made must be made anew."""
    other = or_(_desired.c.store_epoch.is_(None), _desired.c.store_epoch != epoch)
    with store.writing() as connection:
        connection.execute(update(_desired).where(other).values(stale=True))


def renew(store: Store, epoch: str, now: datetime, but_not: Collection[int] = ()) -> dict[int, str]:
    """Make stale messages anew, each in a transaction of its own.

    One whose content is the same keeps its ordinal. Others get one above all that there are: the time in ms since 1970,
    so that it is above those, too, that a store made which was lost. One that cannot be made stays stale.

    Args:
        store: where they are kept.
        epoch: of the store.
        now: the time.
        but_not: the ids of gateways whose messages are left as they are.

    Returns:
        Why some could not be made, by the id of the gateway.
    """
    with store.session() as session:
        query = select(_desired.c.gateway_id).where(_desired.c.stale).order_by(_desired.c.gateway_id)
        stale = [gateway_id for gateway_id in session.connection().scalars(query) if gateway_id not in but_not]
    tried = {gateway_id: _try_to_renew(store, gateway_id, epoch, now) for gateway_id in stale}
    return {gateway_id: reason for gateway_id, reason in tried.items() if reason is not None}


def messages_since(store: Store, ordinal: int = 0) -> Sequence[Message]:
    """Every message of at least this ordinal, the older first."""
    query = (
        select(_gateway.c.site, _gateway.c.name, _desired.c.ordinal, _desired.c.body)
        .join(_gateway, _gateway.c.id == _desired.c.gateway_id)
        .where(_desired.c.ordinal >= ordinal)
        .order_by(_desired.c.ordinal)
    )
    with store.session() as session:
        return [Message(*row) for row in session.connection().execute(query)]


def _try_to_renew(store: Store, gateway_id: int, epoch: str, now: datetime) -> str | None:
    try:
        with store.writing() as connection:
            _renew(connection, gateway_id, epoch, now)
    except OperationalError:  # the store, and not this gateway
        raise
    except Exception as error:  # whatever is wrong with one gateway, the others are to be told
        return str(error) or type(error).__name__
    return None


def _renew(connection: Connection, gateway_id: int, epoch: str, now: datetime) -> None:
    query = select(_desired, _gateway.c.name, _gateway.c.site).join(_gateway, _gateway.c.id == _desired.c.gateway_id)
    locked = query.where(_desired.c.gateway_id == gateway_id).with_for_update(of=_desired)
    row = connection.execute(locked).mappings().one()
    if not row["stale"]:  # another aggregator was faster
        return
    engines = engines_at(connection, gateway_id)
    values: dict[str, Any] = {"stale": False, "store_epoch": epoch}
    if not _says(row, engines) or row["store_epoch"] != epoch:
        # Whoever publishes goes on from the last one seen, so that one below it, by a clock set back, would be missed.
        last = connection.execute(select(func.max(_desired.c.ordinal))).scalar_one() or 0
        ordinal = max(last + 1, int(now.timestamp() * 1000))
        desired = EngineDesired(site=row["site"], gateway=row["name"], ordinal=ordinal, engines=engines)
        values |= {"ordinal": ordinal, "body": messages.encode(desired)}
    connection.execute(update(_desired).where(_desired.c.gateway_id == gateway_id).values(values))


def _says(row: RowMapping, engines: list[DesiredEngine]) -> bool:
    if row["body"] is None:
        return False
    try:
        said = messages.decode(row["body"], EngineDesired)
    except MessageError:
        return False
    return (said.site, said.engines) == (row["site"], engines)


def engines_at(connection: Connection, gateway_id: int) -> list[DesiredEngine]:
    """What is told of each engine that hangs at a gateway, by serial."""
    query = (
        select(_engine.c.serial, _installation)
        .join(_engine, _engine.c.id == _installation.c.engine_id)
        .where(_installation.c.gateway_id == gateway_id, _installation.c.installed_to.is_(None))
        .order_by(_engine.c.serial)
    )
    return [_describe(connection, row) for row in connection.execute(query).mappings()]


def describe(connection: Connection, installation_id: str) -> DesiredEngine:
    """What is told of the engine of one installation."""
    query = select(_engine.c.serial, _installation).join(_engine, _engine.c.id == _installation.c.engine_id)
    return _describe(
        connection, connection.execute(query.where(_installation.c.id == installation_id)).mappings().one()
    )


def _describe(connection: Connection, row: RowMapping) -> DesiredEngine:
    stays, overhauls = _stays(connection, row["engine_id"])
    known = [(stay["id"], age) for stay, age in stays]
    place = next(number for number, (installation_id, _) in enumerate(known) if installation_id == row["id"])
    age = known[place][1]
    numbered = [] if age.begins else _seed_rows(connection, row["engine_id"], known[:place])
    seed = _seed(numbered, age)
    return DesiredEngine(
        serial=row["serial"],
        position=row["position"],
        installation_id=row["id"],
        installed_from=row["installed_from"],
        installation_cycle=age.start if age.known else None,
        counted_from=age.counted_from,
        maintenance_epoch=overhauls,
        seed=seed,
    )


def _stays(connection: Connection, engine_id: int) -> tuple[list[tuple[RowMapping, Age]], int]:
    """The installations of an engine in the order of time, with its age in each; and how often it was overhauled."""
    last_cycle = (
        select(func.coalesce(func.max(_telemetry.c.cycle), 0))
        .where(_telemetry.c.engine_id == engine_id, _telemetry.c.installation_id == _installation.c.id)
        .scalar_subquery()
    )
    query = select(_installation, last_cycle.label("last_cycle")).where(_installation.c.engine_id == engine_id)
    in_time = _installation.c.installed_from, _installation.c.installed_to.is_(None), _installation.c.id
    rows = list(connection.execute(query.order_by(*in_time)).mappings())
    made = select(_overhaul).where(_overhaul.c.engine_id == engine_id).order_by(_overhaul.c.epoch)
    overhauls = list(connection.execute(made).mappings())
    within = {one["installation_id"]: one["after_cycle"] for one in overhauls if one["installation_id"] is not None}
    between = [one["at"] for one in overhauls if one["installation_id"] is None]
    stays, ended = [], None
    for row in rows:
        stays.append(
            Stay(
                row["installation_cycle"],
                row["last_cycle"],
                any((ended is None or at >= ended) and at <= row["installed_from"] for at in between),
                within.get(row["id"]),
            )
        )
        ended = row["installed_to"]
    return list(zip(rows, ages_of(stays), strict=True)), len(overhauls)


def _seed_rows(connection: Connection, engine_id: int, stays: Sequence[tuple[str, Age]]) -> list[_Numbered]:
    """The first and last rows of an engine since it was new or last overhauled, in stays that are over, by age."""
    begun = max(number for number, (_, age) in enumerate(stays) if age.begins)
    first: list[_Numbered] = []
    for stay in stays[begun:]:
        first += _rows(connection, engine_id, stay, SEED_FIRST_ROWS - len(first), newest=False)
        if len(first) >= SEED_FIRST_ROWS:
            break
    last: list[_Numbered] = []
    for stay in reversed(stays[begun:]):
        last = _rows(connection, engine_id, stay, SEED_LAST_ROWS - len(last), newest=True) + last
        if len(last) >= SEED_LAST_ROWS:
            break
    both = sorted([*first, *last], key=lambda row: row[0])
    return [next(same) for _, same in groupby(both, key=lambda row: row[0])]


def _rows(
    connection: Connection, engine_id: int, stay: tuple[str, Age], limit: int, *, newest: bool
) -> list[_Numbered]:
    installation_id, age = stay
    cycle = _telemetry.c.cycle
    query = (
        select(cycle, _telemetry.c.channels)
        .where(
            _telemetry.c.engine_id == engine_id,
            _telemetry.c.installation_id == installation_id,
            cycle > age.counted_from,
        )
        .order_by(cycle.desc() if newest else cycle)
        .limit(limit)
    )
    rows = [(age.at(number), channels) for number, channels in connection.execute(query)]
    return rows[::-1] if newest else rows


def _seed(rows: Sequence[_Numbered], age: Age) -> Seed | None:
    """Rows as they are told: none is older than the engine was when it came."""
    late = max(0, rows[-1][0] - age.start) if rows else 0
    kept = [(number - late, values) for number, values in rows if number > late]
    if not kept:
        return None
    channels = _names(values for _, values in kept)
    return Seed(channels=channels, rows=[(number, [values.get(name) for name in channels]) for number, values in kept])


def _names(rows: Iterable[Collection[str]]) -> list[str]:
    return sorted({name for row in rows for name in row})
