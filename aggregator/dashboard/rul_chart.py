"""The RUL curve as ECharts options: median and 90 % interval over the cycles, on the health bands."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aggregator.fleet.bands import THRESHOLDS, Thresholds
from aggregator.fleet.rul import Rul
from aggregator.store.reads.alarms import AlarmRow

# Okabe and Ito's, which colour-blind people tell apart.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
DASHES = ("solid", "dashed", "dotted")
ACCENT, GREY = "#3b82f6", "#8491a3"
CRITICAL, WARNING = "rgba(214, 51, 90, 0.13)", "rgba(230, 159, 0, 0.13)"

# Values at the cap are drawn at the cap and read "≥ cap" (P7).
_TOOLTIP = """(points) => {
  const [cycle, q05, q50, q95, , cap] = points[0].value;
  const say = (cycles) => (cycles >= cap ? `≥ ${Math.floor(cap)}` : Math.floor(cycles));
  return `Cycle ${cycle}<br><b>${say(q50)}</b> cycles left<br>90 %: ${say(q05)} to ${say(q95)}`;
}"""


def points(curve: Sequence[tuple[int, Rul]]) -> list[list[float]]:
    """One point per prediction: cycle, three quantiles and width of the interval, clipped, and the cap."""
    return [_point(cycle, rul) for cycle, rul in curve]


def _point(cycle: int, rul: Rul) -> list[float]:
    q05, q50, q95 = (round(rul.clipped(value), 1) for value in (rul.q05, rul.q50, rul.q95))
    return [cycle, q05, q50, q95, round(q95 - q05, 1), rul.cap]


def marks(alarms: Iterable[AlarmRow]) -> list[dict[str, Any]]:
    """A line across the chart at each cycle at which an alarm was raised."""
    raised = {row.alarm.cycle: row.alarm for row in alarms if row.alarm.cycle is not None}
    return [{"xAxis": cycle, "name": alarm.rule} for cycle, alarm in sorted(raised.items())]


def update(source: list[list[float]], alarm_marks: list[dict[str, Any]]) -> dict[str, Any]:
    """What changes of a chart that is drawn already."""
    return {"dataset": {"source": source}, "series": [{}, {}, {"markLine": _mark_line(alarm_marks)}]}


def _mark_line(alarm_marks: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "silent": True,
        "animation": False,
        "symbol": ["none", "none"],
        "data": alarm_marks,
        "label": {"formatter": "⚑ {b}", "color": GREY, "fontSize": 11, "rotate": 0, "position": "end"},
        "lineStyle": {"color": GREY, "type": "dashed"},
    }


def options(
    source: list[list[float]], thresholds: Thresholds = THRESHOLDS, alarm_marks: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """The whole chart for these points."""
    cap = source[-1][-1] if source else 125.0
    line = {"type": "line", "showSymbol": False, "animation": False, "silent": True}
    band = {**line, "stack": "interval", "lineStyle": {"opacity": 0}, "tooltip": {"show": False}}
    return {
        "dataset": {"source": source},
        "grid": {"left": 44, "right": 20, "top": 28, "bottom": 42},
        "textStyle": {"fontFamily": "inherit"},
        "tooltip": {"trigger": "axis", ":formatter": _TOOLTIP},
        "xAxis": {
            "type": "value",
            "min": "dataMin",
            "max": "dataMax",
            **_axis("Cycle", {"nameLocation": "middle", "nameGap": 26}, "String"),
        },
        "yAxis": {
            "type": "value",
            "min": 0,
            "max": cap,
            "interval": 25,
            **_axis("Cycles left", {"nameGap": 10}, f"(cycles) => (cycles < {cap:g} ? cycles : `≥ ${{cycles}}`)"),
        },
        "series": [
            {**band, "name": "q05", "encode": {"x": 0, "y": 1}},
            {**band, "name": "interval", "encode": {"x": 0, "y": 4}, "areaStyle": {"color": ACCENT, "opacity": 0.22}},
            {
                **line,
                "name": "median",
                "encode": {"x": 0, "y": 2},
                "lineStyle": {"color": ACCENT, "width": 2.5},
                "itemStyle": {"color": ACCENT},
                "markLine": _mark_line(list(alarm_marks)),
                "markArea": {
                    "silent": True,
                    "data": [
                        _zone("critical", 0, thresholds.critical_below_cycles, CRITICAL),
                        _zone("warning", thresholds.critical_below_cycles, thresholds.warning_below_cycles, WARNING),
                    ],
                },
            },
        ],
    }


def medians(curves: Mapping[str, Sequence[tuple[int, Rul]]]) -> list[dict[str, Any]]:
    """A line per engine: its medians over the cycles, clipped."""
    return [
        {
            "type": "line",
            "name": serial,
            "showSymbol": False,
            "animation": False,
            "data": [[cycle, round(rul.clipped(rul.q50), 1)] for cycle, rul in curve],
        }
        for serial, curve in curves.items()
    ]


def comparison(series: Sequence[dict[str, Any]], thresholds: Thresholds = THRESHOLDS) -> dict[str, Any]:
    """The whole chart of some engines; each line has a dash and a colour of its own."""
    chart = options([], thresholds)
    zones = {**chart["series"][-1], "name": "zones", "encode": {}}
    lines = [one | {"lineStyle": {"type": DASHES[place % len(DASHES)]}} for place, one in enumerate(series)]
    return {key: chart[key] for key in ("grid", "textStyle", "xAxis", "yAxis")} | {
        "color": COLOURS,
        "tooltip": {"trigger": "axis"},
        "legend": {"data": [one["name"] for one in series], "textStyle": {"color": GREY}, "right": 0, "top": 0},
        "series": [*lines, zones],
    }


def _axis(name: str, place: dict[str, Any], formatter: str) -> dict[str, Any]:
    return {
        "name": name,
        **place,
        "nameTextStyle": {"color": GREY},
        "axisLabel": {"color": GREY, ":formatter": formatter},
        "axisLine": {"show": False},
        "splitLine": {"lineStyle": {"color": GREY, "opacity": 0.18}},
    }


def _zone(name: str, low: float, high: float, color: str) -> list[dict[str, Any]]:
    label = {"show": True, "position": "insideLeft", "color": GREY, "fontSize": 11}
    return [{"name": name, "yAxis": low, "itemStyle": {"color": color}, "label": label}, {"yAxis": high}]
