"""Some engines beside one another: their curves in one chart, and what each has left."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from aggregator.access.roles import Caller, Sites
from aggregator.dashboard import rul_chart, wording
from aggregator.dashboard.facts import Fact
from aggregator.dashboard.frame import Source, notice, open_page
from aggregator.fleet.bands import Thresholds
from aggregator.fleet.rul import Rul
from aggregator.store.reads import Session
from aggregator.store.reads.engine import EngineDetail, find_engine, latest_curve

ENGINES_MAX = 6
CURVE_POINTS = 500


@dataclass(frozen=True, slots=True)
class Compared:
    """One engine, and its predictions, oldest first."""

    detail: EngineDetail
    curve: Sequence[tuple[int, Rul]]


async def show_comparison(source: Source, wanted: str) -> None:
    """Build the page for one browser and keep it current; engines are wanted by their serials, with commas."""
    serials = tuple(dict.fromkeys(serial for serial in wanted.split(",") if serial))[:ENGINES_MAX]
    thresholds = source.centre.thresholds

    def read(session: Session, sites: Sites) -> list[Compared]:
        return compared(session, sites, serials, thresholds)

    async def ask() -> list[Compared]:
        return await source.shared(("compare", serials), read)

    def build(state: list[Compared], _: Caller) -> Callable[[list[Compared]], None] | None:
        if state:
            return _ComparisonPage(state, thresholds).show
        with notice("There is nothing to compare"):
            TextElement(tag="p", text=f"Select up to {ENGINES_MAX} engines in the fleet, and click Compare.")
            ui.link("To the fleet", "/")
        return None

    ui.page_title("Compare · Spoolwatch")
    await open_page(source, ask, build)


def compared(session: Session, sites: Sites, serials: Sequence[str], thresholds: Thresholds) -> list[Compared]:
    """Read those of these engines that are registered at these sites."""
    found = (find_engine(session, sites, serial, thresholds) for serial in serials)
    return [
        Compared(one, () if one.current is None else latest_curve(session, one.current, CURVE_POINTS)[::-1])
        for one in found
        if one is not None
    ]


class _ComparisonPage:
    """The elements of one open page; their texts change, they themselves stay."""

    def __init__(self, state: Sequence[Compared], thresholds: Thresholds) -> None:
        self._series = rul_chart.medians(_curves(state))
        with ui.element("div").classes("sw-title"):
            ui.link("← Fleet", "/").classes("sw-back")
            TextElement(tag="h1", text="Compare")
        with ui.element("section").classes("sw-panel"):
            TextElement(tag="h2", text="Remaining life over the cycles, by the median")
            self._chart = ui.echart(rul_chart.comparison(self._series, thresholds)).classes("sw-chart")
        with ui.element("section").classes("sw-facts"):
            self._facts = {one.detail.row.serial: Fact(one.detail.row.serial) for one in state}
        self.show(state)

    def show(self, state: Sequence[Compared]) -> None:
        """Show a later state."""
        for one in state:
            row = one.detail.row
            if row.rul is not None:
                self._facts[row.serial].show(
                    wording.median(row.rul), f"{wording.interval(row.rul)} at cycle {row.cycle}"
                )
        series = rul_chart.medians(_curves(state))
        if series != self._series:
            self._series = series
            self._chart.run_chart_method("setOption", {"series": series})


def _curves(state: Sequence[Compared]) -> dict[str, Sequence[tuple[int, Rul]]]:
    return {one.detail.row.serial: one.curve for one in state}
