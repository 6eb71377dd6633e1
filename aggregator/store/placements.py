"""Decides where each new record belongs: its engine, installation and model."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from msgspec import Struct
from sqlalchemy import Connection, insert, select

from aggregator.store.arrivals import Entry
from aggregator.store.ledger import Item, OpenStream, Parcel, Refused
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
    installed_to: datetime | None


class Placed(Struct, frozen=True, gc=False):
    """Records of one stream and kind that belong to one place, by seq; ``model_id`` is 0 for telemetry."""

    stream: OpenStream
    kind: type[Measured]
    place: Place
    model_id: int
    entries: list[Entry]


class _Address(NamedTuple):
    """What records of one stream have in common that are placed together; of telemetry there is no model."""

    kind: type[Measured]
    engine: str
    installation_id: str | None
    model: ModelRef | None


_Group = tuple[OpenStream, _Address, list[Entry]]


@dataclass(slots=True)
class Sorted:
    """What new ledger entries turned out to be: to be written, here under another seq already, or refused."""

    parcels: Sequence[Parcel]
    placed: list[Placed] = field(default_factory=list)
    gaps: list[tuple[Item, messages.Gap]] = field(default_factory=list)
    present: list[Item] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    def taken(self) -> Sequence[Parcel]:
        """Every record that is answered as committed: whatever is not refused."""
        if not self.refused:
            return self.parcels
        refused = {(item.stream.id, item.entry.seq) for item, _ in self.refused}
        kept = (
            (stream, [entry for entry in entries if (stream.id, entry.seq) not in refused])
            for stream, entries in self.parcels
        )
        return [Parcel(stream, entries) for stream, entries in kept if entries]


def place(connection: Connection, parcels: Sequence[Parcel]) -> Sorted:
    """Sort new ledger entries into what has a place and what is refused."""
    result = Sorted(parcels)
    gaps: list[tuple[Item, messages.Gap]] = []
    groups = [group for parcel in parcels for group in _groups(parcel, gaps, result)]
    if gaps:
        _sort_gaps(connection, gaps, result)
    if groups:
        _sort_measured(connection, groups, result)
    return result


def _groups(parcel: Parcel, gaps: list[tuple[Item, messages.Gap]], result: Sorted) -> Iterator[_Group]:
    """The measured records of a parcel by address, for which all that follows is looked up once."""
    stream = parcel.stream
    groups: dict[tuple[object, ...], list[Entry]] = defaultdict(list)
    for entry in parcel.entries:
        record = entry.record
        if isinstance(record, messages.Telemetry):
            groups[messages.Telemetry, record.engine, record.installation_id, None].append(entry)
        elif isinstance(record, messages.Prediction):
            groups[messages.Prediction, record.engine, record.installation_id, record.model].append(entry)
        elif record is None:
            result.refused.append((Item(stream, entry), entry.reason or "not a record"))
        else:
            gaps.append((Item(stream, entry), record))
    return ((stream, _Address._make(address), entries) for address, entries in groups.items())


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


def _sort_measured(connection: Connection, groups: Sequence[_Group], result: Sorted) -> None:
    engines = _find_engines(connection, {address.engine for _, address, _ in groups})
    places = _find_places(connection, engines.values())
    models = ensure_models(connection, {address.model for _, address, _ in groups if address.model is not None})
    for stream, address, entries in groups:
        engine_id = engines.get(address.engine)
        if engine_id is None:
            reason = (
                f"engine {address.engine} is not registered; "
                "register it: later records are taken then, and this one if it is redriven"
            )
            result.refused += [(Item(stream, entry), reason) for entry in entries]
            continue
        here = places.get((engine_id, stream.gateway_id), [])
        model_id = 0 if address.model is None else models[address.model]
        wanted = _wanted(address, here, entries[0].topic.gateway)
        if isinstance(wanted, str):
            result.refused += [(Item(stream, entry), wanted) for entry in entries]
        elif len(wanted) == 1 and wanted[0].installed_to is None:  # as nearly always, and then all of them at once
            result.placed.append(Placed(stream, address.kind, wanted[0], model_id, entries))
        else:
            of_places = _by_time(stream, address.engine, entries, wanted, result)
            result.placed += [
                Placed(stream, address.kind, one, model_id, of_place) for one, of_place in of_places.items()
            ]


def _wanted(address: _Address, here: list[Place], gateway: str) -> list[Place] | str:
    """The installations that records may belong to: the one that they name, or all; or the reason why there is none."""
    if not here:
        return (
            f"engine {address.engine} is not installed at gateway {gateway}; "
            "enter its installation, and redrive this record"
        )
    if address.installation_id is None:
        return here
    for one in here:
        if one.id == address.installation_id:
            return [one]
    # By its time a record of an installation that a restored centre has lost would come to another one for good.
    return messages.as_reason(
        f"engine {address.engine} at gateway {gateway} has no installation {address.installation_id!r}; if it was "
        "entered after the backup from which this centre was restored, enter it again under this id, and redrive this"
    )


def _by_time(
    stream: OpenStream, engine: str, entries: Iterable[Entry], here: list[Place], result: Sorted
) -> dict[Place, list[Entry]]:
    """Records by the installation that lasted when they were observed; those of no installation are refused."""
    by_place: dict[Place, list[Entry]] = defaultdict(list)
    for entry in entries:
        record: Any = entry.record
        # From before all of them comes what a clock that starts in 1970 says: then the centre's own time counts.
        at = record.observed_at if record.observed_at >= here[0].installed_from else entry.received_at
        one = next((place for place in reversed(here) if place.installed_from <= at), here[0])
        if one.installed_to is None or at < one.installed_to:
            by_place[one].append(entry)
        else:
            result.refused.append((Item(stream, entry), _why_not_then(engine, entry, one)))
    return by_place


def _why_not_then(engine: str, entry: Entry, one: Place) -> str:
    record: Any = entry.record
    at, ended = (f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in (record.observed_at.astimezone(UTC), one.installed_to))
    return (
        f"engine {engine} was removed from gateway {entry.topic.gateway} at {ended} and this was observed at {at}: "
        "enter where it was installed then, and redrive this record"
    )


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


def ensure_models(connection: Connection, wanted: set[ModelRef]) -> dict[ModelRef, int]:
    """The keys of models, each of which is made known where it is not.

    Raises:
        IntegrityError: another replica made it known at the same moment.
    """
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
