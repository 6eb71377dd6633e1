"""The fleet page: counts as cards, and a list of engines, those first that may fail first."""

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from aggregator.access.roles import Caller, Sites
from aggregator.dashboard import wording
from aggregator.dashboard.frame import Source
from aggregator.dashboard.lists import (
    ROWS_PER_PAGE,
    Action,
    Card,
    Column,
    Empty,
    Filter,
    Layout,
    Listing,
    Numbers,
    Portion,
    Shown,
    card,
)
from aggregator.dashboard.view import View
from aggregator.fleet.bands import THRESHOLDS, Band, Thresholds, band_of
from aggregator.fleet.liveness import LinkState, liveness_of
from aggregator.fleet.rul import Rul
from aggregator.fleet.summary import FleetSummary, summarise
from aggregator.store.reads import Session
from aggregator.store.reads.curves import Curves
from aggregator.store.reads.fleet import (
    EngineFilter,
    EngineRow,
    count_engines,
    list_engines,
    list_engines_by_link,
    place_in,
)
from aggregator.store.reads.ranking import EngineOrder, SortKey, SortValue
from aggregator.store.reads.vitals import list_vitals

LINKS = {LinkState.ONLINE: "online", LinkState.STALE: "stale", LinkState.OFFLINE: "offline"}
COLUMNS = (
    Column("serial", "Engine", sort="serial", phone="title", is_name=True),
    Column("site", "Site"),
    Column("band", "Health", "badge", sort="risk", phone="corner", hint="By risk: those first that may fail first"),
    Column(
        *("rul", "Remaining life", "rul", "rul"),
        hint="Median and 90 % interval, in cycles",
        none="no prediction yet",
    ),
    Column("curve", "Trend", "spark", phone="none", hint="The medians of the last predictions", none=""),
    Column("cycle", "Cycle", phone="none"),
    Column("link", "Link", "link", phone="right", none="not installed"),
    Column("at", "Last record", "when", sort="last_seen", phone="right"),
)


class FleetListing(Listing):
    """The engines that are not retired.

    Args:
        thresholds: what bands go by.
    """

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._every = EngineFilter(in_fleet=True, thresholds=thresholds)
        self._curves = Curves()

    def layout(self, source: Source, visitor: Caller) -> Layout:
        """What this visitor sees of it whatever it has."""
        return Layout(
            title="Fleet",
            heading="Engines",
            hides_title=True,
            columns=COLUMNS,
            sorts=("risk", "serial", "rul", "last_seen"),
            searches="Find engine, site or gateway",
            filters=(
                Filter("band", "Health", [(band.value, band.value) for band in Band]),
                Filter("link", "Link", [(state.value, label) for state, label in LINKS.items()]),
            ),
            actions=(Action("compare", "Compare", "c", leads_to="/compare?engines="),),
            empty=Empty(
                "No engine is registered yet",
                (
                    "Records are taken from registered engines only. Register the first one, and its row appears here "
                    "by itself. POST /api/v1/engines does the same.",
                ),
                source.register_command("SERIAL", visitor),
            ),
        )

    def numbers(self, session: Session, sites: Sites, now: datetime) -> Numbers:
        """Read what the cards say."""
        vitals = list_vitals(session, sites, self._every)
        summary = summarise((self._band(one.rul), liveness_of(one.signs, now).state, one.rul) for one in vitals)
        return Numbers(cards_of(summary, self._thresholds), summary.total == 0)

    def portion(self, session: Session, sites: Sites, view: View, now: datetime) -> Portion:
        """Read what the rows say."""
        band, link = view.chosen("band"), view.chosen("link")
        wanted = EngineFilter(
            band=None if band is None else Band(band),
            search=view.search or None,
            in_fleet=True,
            thresholds=self._thresholds,
        )
        order = EngineOrder(cast(SortKey, view.sort), descending=view.is_falling)
        after = cast(tuple[SortValue, str], view.places[-1]) if view.places else None
        if link is None:
            rows = list_engines(session, sites, wanted, order, after, ROWS_PER_PAGE + 1)
            total = count_engines(session, sites, wanted)
        else:
            state = LinkState(link)
            rows = list_engines_by_link(session, sites, state, now, wanted, order, after, ROWS_PER_PAGE + 1)
            total = None
        kept = rows[:ROWS_PER_PAGE]
        curves = self._curves.read(session, [row.serial for row in kept])
        place = place_in(order, kept[-1]) if len(rows) > ROWS_PER_PAGE else None
        return Portion([row_of(row, now, curves.get(row.serial, ())) for row in kept], place, total)

    def _band(self, rul: Rul | None) -> Band:
        return band_of(rul, self._thresholds)


def cards_of(summary: FleetSummary, thresholds: Thresholds = THRESHOLDS) -> list[Card]:
    """The fleet in numbers; all but the last one choose what is listed."""
    notes = _notes(thresholds)
    stale = summary.links[LinkState.STALE]
    return [
        card("engines", summary.total, f"{summary.links[LinkState.ONLINE]} online", ("band", "")),
        *(card(band.value, summary.bands[band], notes[band], ("band", band.value)) for band in Band),
        card(
            "offline",
            summary.links[LinkState.OFFLINE],
            f"and {stale} stale" if stale else "none stale",
            ("link", LinkState.OFFLINE.value),
        ),
        card("median", wording.average(summary.median), f"cycles · mean {wording.average(summary.mean)}")
        | {"label": "Median left"},
    ]


def _notes(thresholds: Thresholds) -> dict[Band, str]:
    """What makes an engine be of a band; by the median unless another quantile is set."""
    critical, warning = thresholds.critical_below_cycles, thresholds.warning_below_cycles
    by = "" if thresholds.quantile == "q50" else f" by {thresholds.quantile}"
    return {
        Band.CRITICAL: f"under {critical:g} cycles{by}",
        Band.WARNING: f"{critical:g} to {warning - 1:g} cycles{by}",
        Band.HEALTHY: f"{warning:g} cycles or more{by}",
        Band.UNKNOWN: "no prediction",
    }


def row_of(row: EngineRow, now: datetime, medians: Sequence[float] = ()) -> Shown:
    """One engine; ``medians`` are those of its last predictions, the latest last."""
    liveness = row.liveness(now)
    notes = {"site": row.gateway or "not installed"}
    if row.status != "operational":
        notes["serial"] = row.status
    if row.refusal is not None:
        notes["rul"] = "⚑ the latest row gave none"
    return {
        "key": row.serial,
        "name": row.serial,
        "href": f"/engines/{row.serial}",
        "serial": row.serial,
        "site": row.site,
        "band": row.band.value,
        "rul": None if row.rul is None else rul_of(row.rul),
        "curve": {"values": [round(one, 1) for one in medians], "cap": row.rul.cap} if row.rul and medians else None,
        "cycle": row.cycle,
        "link": None if row.gateway is None else {"state": liveness.state.value, "reason": liveness.reason},
        "at": None if row.last_record_at is None else row.last_record_at.timestamp(),
        "notes": notes,
        "odd": [] if row.refusal is None else ["rul"],
        "titles": {} if row.refusal is None else {"rul": row.refusal},
    }


def rul_of(rul: Rul) -> Shown:
    """A distribution in words, and as a range."""
    return {
        "median": wording.median(rul),
        "interval": wording.interval(rul),
        "q05": round(rul.clipped(rul.q05), 1),
        "q50": round(rul.clipped(rul.q50), 1),
        "q95": round(rul.clipped(rul.q95), 1),
        "cap": rul.cap,
    }
