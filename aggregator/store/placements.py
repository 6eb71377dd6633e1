"""Decides where each new record belongs: its engine, installation and model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct
from sqlalchemy import Connection, insert, select

from aggregator.store.ledger import Item
from aggregator.store.tables import Engine, GapRecord, Installation, Model, core
from shared import messages
from shared.messages import ModelRef

_engine = core(Engine)
_installation = core(Installation)
_model = core(Model)
_gap = core(GapRecord)

Measured = messages.Telemetry | messages.Prediction


class Place(NamedTuple):
    """One installation of an engine."""

    id: str
    engine_id: int
    gateway_id: int
    installed_from: datetime


class Placed(Struct, frozen=True, gc=False):
    """A record that belongs somewhere; ``model_id`` is 0 for telemetry."""

    item: Item
    record: Measured
    place: Place
    model_id: int


@dataclass(slots=True)
class Sorted:
    """What new ledger entries turned out to be: to be written, here under another seq already, or refused."""

    placed: list[Placed] = field(default_factory=list)
    gaps: list[tuple[Item, messages.Gap]] = field(default_factory=list)
    present: list[Item] = field(default_factory=list)
    refused: list[tuple[Item, str]] = field(default_factory=list)

    def taken(self) -> Iterator[Item]:
        """Every record that is answered as committed."""
        yield from (one.item for one in self.placed)
        yield from (item for item, _ in self.gaps)
        yield from self.present


def place(connection: Connection, items: Sequence[Item]) -> Sorted:
    """Sort new ledger entries into what has a place and what is refused."""
    result = Sorted()
    measured: list[tuple[Item, Measured]] = []
    gaps: list[tuple[Item, messages.Gap]] = []
    for item in items:
        record = item.entry.record
        if record is None:
            result.refused.append((item, item.entry.reason or "not a record"))
        elif isinstance(record, messages.Gap):
            gaps.append((item, record))
        else:
            measured.append((item, record))
    if gaps:
        _sort_gaps(connection, gaps, result)
    if measured:
        _sort_measured(connection, measured, result)
    return result


def _sort_gaps(connection: Connection, gaps: list[tuple[Item, messages.Gap]], result: Sorted) -> None:
    query = select(_gap.c.gateway_id, _gap.c.gap_id).where(_gap.c.gap_id.in_({gap.gap_id for _, gap in gaps}))
    known = {(gateway_id, gap_id) for gateway_id, gap_id in connection.execute(query)}
    for item, gap in gaps:
        key = (item.stream.gateway_id, gap.gap_id)
        if key in known:
            result.present.append(item)
        else:
            known.add(key)
            result.gaps.append((item, gap))


def _sort_measured(connection: Connection, measured: list[tuple[Item, Measured]], result: Sorted) -> None:
    engines = _find_engines(connection, {record.engine for _, record in measured})
    places = _find_places(connection, engines.values())
    models = _ensure_models(
        connection, {record.model for _, record in measured if isinstance(record, messages.Prediction)}
    )
    for item, record in measured:
        engine_id = engines.get(record.engine)
        if engine_id is None:
            reason = (
                f"engine {record.engine} is not registered; "
                "register it: later records are taken, this one stays in quarantine"
            )
            result.refused.append((item, reason))
            continue
        found = _resolve(item, record, places.get((engine_id, item.stream.gateway_id), []))
        if isinstance(found, str):
            result.refused.append((item, found))
        else:
            model_id = models[record.model] if isinstance(record, messages.Prediction) else 0
            result.placed.append(Placed(item, record, found, model_id))


def _resolve(item: Item, record: Measured, here: list[Place]) -> Place | str:
    """The installation that a record belongs to, or the reason why there is none."""
    gateway = item.envelope.topic.gateway
    if not here:
        return f"engine {record.engine} is not installed at gateway {gateway}"
    if record.installation_id is not None:
        for one in here:
            if one.id == record.installation_id:
                return one
        return messages.as_reason(
            f"engine {record.engine} at gateway {gateway} has no installation {record.installation_id!r}"
        )
    if len(here) == 1:
        return here[0]
    begun = [one for one in here if one.installed_from <= record.observed_at]
    # A clock that starts in 1970, or a row from before the registration, says nothing: the latest then stands.
    return (begun or here)[-1]


def _find_engines(connection: Connection, serials: set[str]) -> dict[str, int]:
    query = select(_engine.c.serial, _engine.c.id).where(_engine.c.serial.in_(serials))
    return dict(connection.execute(query).all())


def _find_places(connection: Connection, engine_ids: Iterable[int]) -> dict[tuple[int, int], list[Place]]:
    """The installations by engine and gateway, in the order of time."""
    columns = [_installation.c[name] for name in Place._fields]
    query = (
        select(*columns)
        .where(_installation.c.engine_id.in_(list(engine_ids)))
        .order_by(_installation.c.installed_from, _installation.c.id)
    )
    places: dict[tuple[int, int], list[Place]] = {}
    for row in connection.execute(query):
        one = Place(*row)
        places.setdefault((one.engine_id, one.gateway_id), []).append(one)
    return places


def _ensure_models(connection: Connection, wanted: set[ModelRef]) -> dict[ModelRef, int]:
    if not wanted:
        return {}
    query = select(_model).where(_model.c.sha256.in_({ref.sha256 for ref in wanted}))
    found = {
        ModelRef(name=row.name, version=row.version, sha256=row.sha256): row.id for row in connection.execute(query)
    }
    for ref in wanted - found.keys():
        added = insert(_model).values(name=ref.name, version=ref.version, sha256=ref.sha256)
        found[ref] = connection.execute(added.returning(_model.c.id)).scalar_one()
    return found
