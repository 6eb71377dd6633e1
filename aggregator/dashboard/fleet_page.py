"""The fleet page: counts as cards, and a table with one row per engine."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from aggregator.access.roles import Caller, Sites
from aggregator.dashboard import wording
from aggregator.dashboard.elements import FleetView
from aggregator.dashboard.frame import Source, open_page
from aggregator.fleet.bands import THRESHOLDS, Band, Thresholds
from aggregator.fleet.liveness import LinkState
from aggregator.fleet.rul import Rul
from aggregator.fleet.summary import FleetSummary, summarise
from aggregator.store.reads import Session
from aggregator.store.reads.fleet import EngineFilter, EngineRow, list_engines

Shown = dict[str, Any]
State = tuple[Shown, list[Shown]]


async def show_fleet(source: Source) -> None:
    """Build the page for one browser and keep it current."""

    def ask(session: Session, sites: Sites) -> State:
        thresholds = source.centre.thresholds
        rows = list_engines(session, sites, EngineFilter(in_fleet=True, thresholds=thresholds))
        return fleet_shown(rows, source.now(), thresholds)

    def build(state: State, visitor: Caller) -> Callable[[State], None]:
        view = FleetView(*state, source.now().timestamp(), source.register_command("SERIAL", visitor))
        return lambda later: view.show(*later)

    await open_page(source, ask, build)


def fleet_shown(rows: Sequence[EngineRow], now: datetime, thresholds: Thresholds = THRESHOLDS) -> State:
    """What the page's element shows of these engines: the fleet in numbers, and a row each."""
    summary = summarise((row.band, row.liveness(now).state, row.rul) for row in rows)
    return _summary(summary, thresholds), [_engine(row, now) for row in rows]


def _summary(summary: FleetSummary, thresholds: Thresholds) -> Shown:
    bands = {band.value: summary.bands[band] for band in Band}
    links = {state.value: summary.links[state] for state in LinkState}
    return {
        "counts": {"total": summary.total, **bands, **links},
        "notes": _notes(thresholds),
        "median": wording.average(summary.median),
        "mean": wording.average(summary.mean),
    }


def _notes(thresholds: Thresholds) -> dict[str, str]:
    """What makes an engine be of a band; by the median unless another quantile is set."""
    critical, warning = thresholds.critical_below_cycles, thresholds.warning_below_cycles
    by = "" if thresholds.quantile == "q50" else f" by {thresholds.quantile}"
    return {
        Band.CRITICAL.value: f"under {critical:g} cycles{by}",
        Band.WARNING.value: f"{critical:g} to {warning - 1:g} cycles{by}",
        Band.HEALTHY.value: f"{warning:g} cycles or more{by}",
    }


def _engine(row: EngineRow, now: datetime) -> Shown:
    liveness = row.liveness(now)
    return {
        "serial": row.serial,
        "site": row.site,
        "gateway": row.gateway,
        "status": row.status,
        "cycle": row.cycle,
        "refusal": row.refusal,
        "band": row.band.value,
        "rul": None if row.rul is None else _rul(row.rul),
        "link": {"state": liveness.state.value, "reason": liveness.reason},
        "at": None if row.last_record_at is None else row.last_record_at.timestamp(),
    }


def _rul(rul: Rul) -> Shown:
    return {
        "median": wording.median(rul),
        "interval": wording.interval(rul),
        "q05": round(rul.clipped(rul.q05), 1),
        "q50": round(rul.clipped(rul.q50), 1),
        "q95": round(rul.clipped(rul.q95), 1),
        "cap": rul.cap,
    }
