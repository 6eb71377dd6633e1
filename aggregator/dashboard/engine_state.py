"""What the page of an engine shows, read from the store at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from aggregator.access.roles import Sites
from aggregator.explaining import Explanation, explain
from aggregator.fleet.bands import Thresholds
from aggregator.fleet.due import MOST_CAUTIOUS, DueDate, due_date
from aggregator.fleet.liveness import Liveness
from aggregator.fleet.rul import Rul
from aggregator.store.overhauls import list_overhauls
from aggregator.store.reads import Session
from aggregator.store.reads.alarms import AlarmFilter, AlarmRow, list_alarms
from aggregator.store.reads.engine import CycleRow, EngineDetail, find_engine, latest_curve, latest_rows
from aggregator.store.reads.installations import InstallationFilter, list_installations

CURVE_POINTS = 1000
CHANNEL_CYCLES = 300
ALARMS = 10
EVENTS = 20
EXPLAINED = 200


class Event(NamedTuple):
    """Something that was done to an engine."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class EngineState:
    """What the page shows.

    Attributes:
        curve: its predictions, oldest first.
        rows: its rows, oldest first.
        alarms: its latest ones, the latest first.
        due: when it is due with a confidence of 95 %, where that is known.
        log: what was done to it, the latest first.
    """

    detail: EngineDetail
    liveness: Liveness
    curve: Sequence[tuple[int, Rul]]
    rows: Sequence[CycleRow]
    alarms: Sequence[AlarmRow]
    due: DueDate | None
    why: Explanation
    log: Sequence[Event]
    now: datetime
    thresholds: Thresholds


class EngineReader:
    """Reads engines for pages; why one is judged as it is, only when that has changed.

    Args:
        thresholds: what bands go by.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._explained: dict[str, tuple[object, Explanation]] = {}

    def read(self, session: Session, sites: Sites, serial: str, now: datetime) -> EngineState | None:
        """What there is to show of an engine of these sites; None where there is none of this serial."""
        detail = find_engine(session, sites, serial, self._thresholds)
        if detail is None:
            return None
        curve: Sequence[tuple[int, Rul]] = []
        rows: Sequence[CycleRow] = []
        if detail.current is not None:
            curve = latest_curve(session, detail.current, CURVE_POINTS)[::-1]
            rows = latest_rows(session, detail.current, CHANNEL_CYCLES)[::-1]
        return EngineState(
            detail,
            detail.row.liveness(now),
            curve,
            rows,
            list_alarms(session, sites, AlarmFilter(engine=serial), limit=ALARMS),
            due_date(detail.row.life(now), MOST_CAUTIOUS),
            self._explain(session, detail),
            _log(session, sites, serial),
            now,
            self._thresholds,
        )

    def _explain(self, session: Session, detail: EngineDetail) -> Explanation:
        current, serial = detail.current, detail.engine.serial
        version = None if current is None else (current.installation_id, current.telemetry_seq, current.prediction_seq)
        known = self._explained.get(serial)
        if known is not None and known[0] == version:
            return known[1]
        told = explain(session, detail)
        if len(self._explained) >= EXPLAINED:
            self._explained.clear()
        self._explained[serial] = version, told
        return told


def _log(session: Session, sites: Sites, serial: str) -> list[Event]:
    found: list[Event] = []
    for installation, _, gateway in list_installations(session, sites, InstallationFilter(engine=serial), limit=EVENTS):
        where = f"position {installation.position} of {gateway}"
        found.append(Event(installation.installed_from, f"installed at {where}"))
        if installation.installed_to is not None:
            found.append(Event(installation.installed_to, f"taken from {where}"))
    found += [
        Event(overhaul.at, f"overhauled, maintenance epoch {overhaul.epoch}")
        for overhaul in list_overhauls(session, sites, serial)
    ]
    return sorted(found, reverse=True)[:EVENTS]
