"""The page of one engine: its RUL curve, alarms, channels, why it is judged so, and where its prediction comes from."""

from collections.abc import Callable
from datetime import datetime
from html import escape

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from aggregator.access.roles import Caller
from aggregator.dashboard import rul_chart, wording
from aggregator.dashboard.elements import ChannelGrid
from aggregator.dashboard.engine_state import CHANNEL_CYCLES, EngineReader, EngineState
from aggregator.dashboard.facts import Entries, Fact, Terms, local_time
from aggregator.dashboard.frame import Source, notice, open_page
from aggregator.fleet.durations import in_words
from aggregator.store.reads.alarms import AlarmRow
from aggregator.store.reads.engine import EngineDetail

CHANNELS_EXPLAINED = 6
SD_SHOWN = 6.0

_TERMS = ("Model", "SHA-256", "Runtime", "Window", "Predicted", "Origin", "Quality flags")


async def show_engine(source: Source, reader: EngineReader, serial: str) -> None:
    """Build the page for one browser and keep it current."""

    async def ask() -> EngineState | None:
        now = source.now()
        return await source.shared(("engine", serial), lambda session, sites: reader.read(session, sites, serial, now))

    def build(state: EngineState | None, visitor: Caller) -> Callable[[EngineState | None], None] | None:
        if state is None:
            ui.context.client.status_code = 404
            _show_unknown(serial, source.register_command(serial, visitor))
            return None
        return _EnginePage(state).show

    ui.page_title(f"{serial} · Spoolwatch")
    await open_page(source, ask, build)


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
            self._due = Fact("Due")
            self._age = Fact("Last record")
        with ui.element("div").classes("sw-grid"):
            with ui.element("section").classes("sw-panel"):
                TextElement(tag="h2", text="Remaining life over the cycles")
                self._empty = ui.label("No prediction has arrived yet.").classes("sw-none")
                self._points = rul_chart.points(state.curve)
                self._marks = rul_chart.marks(state.alarms)
                options = rul_chart.options(self._points, state.thresholds, self._marks)
                self._chart = ui.echart(options).classes("sw-chart")
            with ui.element("div").classes("sw-column"):
                self._alarms = Entries("Alarms", "None was raised.")
                self._why = Entries("What moved farthest", "Nothing can be told yet.")
        self._channels = ui.element("section").classes("sw-panel")
        with self._channels:
            TextElement(tag="h2", text="Channels")
            TextElement(tag="small", text=f"The latest row, and the last {CHANNEL_CYCLES} cycles.")
        self._grid: ChannelGrid | None = None
        with ui.element("div").classes("sw-halves"):
            with ui.element("section").classes("sw-panel"):
                TextElement(tag="h2", text="Where the latest prediction comes from")
                self._lineage = Terms(_lineage(state))
            self._log = Entries("Maintenance log", "It was never installed.")
        self.show(state)

    def show(self, state: EngineState | None) -> None:
        """Show a later state; an engine is never unregistered."""
        if state is None:
            return
        self._show_head(state)
        self._show_curve(state)
        self._show_channels(state)
        self._lineage.show(_lineage(state))
        self._alarms.show([_alarm(row) for row in state.alarms])
        told = state.why
        self._why.show(
            [_moved(one.channel, one.moved) for one in told.movements[:CHANNELS_EXPLAINED]],
            told.unknown or "In standard deviations from its own first rows, operating condition removed.",
        )
        self._log.show([f"{local_time(event.at)} {escape(event.text)}" for event in state.log])

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
        if state.due is None:
            self._due.show("–", "nobody knows yet how much it flies" if row.rul else "there is no prediction yet")
        else:
            floor = "at least " if state.due.not_before else ""
            self._due.show(f"{state.due.at:%Y-%m-%d}", f"{floor}with 95 % confidence, {state.due.cycles:.0f} cycles on")
        if row.last_record_at is not None:
            age_s = (state.now - row.last_record_at).total_seconds()
            self._age.show(f"{in_words(age_s)} ago", f"{row.last_record_at:%Y-%m-%d %H:%M:%S} UTC")

    def _show_curve(self, state: EngineState) -> None:
        points, marks = rul_chart.points(state.curve), rul_chart.marks(state.alarms)
        self._empty.set_visibility(not points)
        self._chart.set_visibility(bool(points))
        if (points, marks) != (self._points, self._marks):
            self._points, self._marks = points, marks
            self._chart.run_chart_method("setOption", rul_chart.update(points, marks))

    def _show_channels(self, state: EngineState) -> None:
        if not state.rows:
            return
        if self._grid is None:
            with self._channels:
                self._grid = ChannelGrid(state.rows, state.why.baseline, CHANNEL_CYCLES)
        self._grid.show(state.rows, state.why.baseline)


def _alarm(row: AlarmRow) -> str:
    alarm = row.alarm
    state = "open" if alarm.closed_at is None else "closed"
    return (
        f'<span class="sw-badge is-{escape(alarm.priority)}">{escape(alarm.priority)}</span> '
        f'<a href="/alarms/{alarm.id}">{escape(alarm.rule)}</a> <small>{state}, {local_time(alarm.raised_at)}</small>'
    )


def _moved(channel: str, moved_sd: float) -> str:
    width = 100 * min(abs(moved_sd), SD_SHOWN) / SD_SHOWN
    side = "is-fallen" if moved_sd < 0 else "is-risen"
    return (
        f'<span class="sw-moved"><b>{escape(channel)}</b><i class="{side}" style="width:{width / 2:.0f}%"></i>'
        f"<small>{moved_sd:+.1f} sd</small></span>"
    )


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
