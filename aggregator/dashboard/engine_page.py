"""The page of one engine: its RUL curve, its channels, and where its latest prediction comes from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from aggregator.access.roles import Caller, Sites
from aggregator.dashboard import rul_chart, wording
from aggregator.dashboard.elements import ChannelGrid
from aggregator.dashboard.facts import Fact, Terms
from aggregator.dashboard.frame import Source, notice, open_page
from aggregator.fleet.bands import Thresholds
from aggregator.fleet.durations import in_words
from aggregator.fleet.liveness import Liveness
from aggregator.fleet.rul import Rul
from aggregator.store.reads import Session
from aggregator.store.reads.engine import CycleRow, EngineDetail, find_engine, latest_curve, latest_rows

CURVE_POINTS = 1000
CHANNEL_CYCLES = 300

_TERMS = ("Model", "SHA-256", "Runtime", "Window", "Predicted", "Origin", "Quality flags")


@dataclass(frozen=True, slots=True)
class EngineState:
    """What the page shows; curve and rows oldest first."""

    detail: EngineDetail
    liveness: Liveness
    curve: Sequence[tuple[int, Rul]]
    rows: Sequence[CycleRow]
    now: datetime
    thresholds: Thresholds


async def show_engine(source: Source, serial: str) -> None:
    """Build the page for one browser and keep it current."""

    def read(session: Session, sites: Sites) -> EngineState | None:
        return _read(session, sites, serial, source.now(), source.centre.thresholds)

    def build(state: EngineState | None, visitor: Caller) -> Callable[[EngineState | None], None] | None:
        if state is None:
            ui.context.client.status_code = 404
            _show_unknown(serial, source.register_command(serial, visitor))
            return None
        return _EnginePage(state).show

    ui.page_title(f"{serial} · Spoolwatch")
    await open_page(source, lambda: source.read(read), build)


def _read(session: Session, sites: Sites, serial: str, now: datetime, thresholds: Thresholds) -> EngineState | None:
    detail = find_engine(session, sites, serial, thresholds)
    if detail is None:
        return None
    curve: Sequence[tuple[int, Rul]] = []
    rows: Sequence[CycleRow] = []
    if detail.current is not None:
        curve = latest_curve(session, detail.current, CURVE_POINTS)[::-1]
        rows = latest_rows(session, detail.current, CHANNEL_CYCLES)[::-1]
    return EngineState(detail, detail.row.liveness(now), curve, rows, now, thresholds)


def _show_unknown(serial: str, command: str) -> None:
    with notice(f"Engine {serial} is not registered"):
        TextElement(tag="p", text="Look for it in the fleet, or register it on the machine of the aggregator:")
        TextElement(tag="pre", text=command)
        ui.link("To the fleet", "/")


class _EnginePage:
    """The elements of one open page; their texts change, they themselves stay."""

    def __init__(self, state: EngineState) -> None:
        with ui.element("div").classes("sw-title"):
            ui.link("← Fleet", "/").classes("sw-back")
            TextElement(tag="h1", text=state.detail.row.serial)
            self._badge = ui.label()
            self._place = TextElement(tag="small", text="")
        self._refusal = ui.label().classes("sw-trouble")
        with ui.element("section").classes("sw-facts"):
            self._rul = Fact("Remaining life, cycles")
            self._cycle = Fact("Cycle")
            self._link = Fact("Link")
            self._age = Fact("Last record")
        with ui.element("div").classes("sw-grid"):
            with ui.element("section").classes("sw-panel"):
                TextElement(tag="h2", text="Remaining life over the cycles")
                self._empty = ui.label("No prediction has arrived yet.").classes("sw-none")
                self._points = rul_chart.points(state.curve)
                self._chart = ui.echart(rul_chart.options(self._points, state.thresholds)).classes("sw-chart")
            with ui.element("section").classes("sw-panel"):
                TextElement(tag="h2", text="Where the latest prediction comes from")
                self._lineage = Terms(_lineage(state))
        self._channels = ui.element("section").classes("sw-panel")
        with self._channels:
            TextElement(tag="h2", text="Channels")
            TextElement(tag="small", text=f"Value of the latest row, and the last {CHANNEL_CYCLES} cycles.")
        self._grid: ChannelGrid | None = None
        self.show(state)

    def show(self, state: EngineState | None) -> None:
        """Show a later state; an engine is never unregistered."""
        if state is None:
            return
        self._show_head(state)
        self._show_curve(state)
        self._show_channels(state)
        self._lineage.show(_lineage(state))

    def _show_head(self, state: EngineState) -> None:
        row, current = state.detail.row, state.detail.current
        self._badge.set_text(row.band.value)
        self._badge.classes(replace=f"sw-badge is-{row.band.value}")
        self._place.set_text(_place(state.detail))
        refusal = None if current is None else current.refusal
        self._refusal.set_text(f"The latest row gave no prediction: {refusal}")
        self._refusal.set_visibility(refusal is not None)
        if row.rul is not None:
            self._rul.show(wording.median(row.rul), f"90 % interval {wording.interval(row.rul)}")
        self._cycle.show("–" if row.cycle is None else str(row.cycle), "of its latest row")
        self._link.show(state.liveness.state.value.replace("_", " "), state.liveness.reason)
        if row.last_record_at is not None:
            age_s = (state.now - row.last_record_at).total_seconds()
            self._age.show(f"{in_words(age_s)} ago", f"{row.last_record_at:%Y-%m-%d %H:%M:%S} UTC")

    def _show_curve(self, state: EngineState) -> None:
        points = rul_chart.points(state.curve)
        self._empty.set_visibility(not points)
        self._chart.set_visibility(bool(points))
        if points != self._points:
            self._points = points
            self._chart.run_chart_method("setOption", {"dataset": {"source": points}})

    def _show_channels(self, state: EngineState) -> None:
        if not state.rows:
            return
        if self._grid is None:
            with self._channels:
                self._grid = ChannelGrid(state.rows, CHANNEL_CYCLES)
        self._grid.show(state.rows)


def _place(detail: EngineDetail) -> str:
    row = detail.row
    if detail.installation is None:
        return f"{row.type} · {row.site} · not installed"
    since = f"{detail.installation.installed_from:%Y-%m-%d}"
    return f"{row.type} · {row.site} · position {row.position} of {row.gateway} since {since}"


def _lineage(state: EngineState) -> dict[str, str | datetime | None]:
    """Terms and texts; the terms are always the same."""
    if state.detail.prediction is None:
        return dict.fromkeys(_TERMS)
    prediction, model = state.detail.prediction
    texts = (
        f"{model.name} {model.version}",
        f"{model.sha256[:12]}…",
        prediction.runtime,
        f"cycles {prediction.window_first_cycle} to {prediction.window_last_cycle}, {prediction.window_rows} rows",
        prediction.predicted_at,
        prediction.origin,
        ", ".join(f"{channel}: {' '.join(flags)}" for channel, flags in prediction.flags.items()) or "none",
    )
    return dict(zip(_TERMS, texts, strict=True))
