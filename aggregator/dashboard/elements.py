"""The two elements that draw many changing values: each takes a first state and then only what changed."""

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui.element import Element

from aggregator.store.reads.engine import CycleRow
from shared.cmapss import CHANNELS, DECIMALS, UNITS

Row = Mapping[str, Any]

_PLACES = {name: place for place, name in enumerate(CHANNELS)}


class FleetView(Element, component="static/fleet_view.js"):
    """The fleet as cards and a table."""

    def __init__(self, summary: Row, engines: Sequence[Row], now_s: float, register_command: str) -> None:
        super().__init__()
        self._shown = {row["serial"]: row for row in engines}
        self._summary = summary
        self._props["initial"] = {"summary": summary, "engines": list(engines), "now": now_s}
        self._props["register"] = register_command

    def show(self, summary: Row, engines: Sequence[Row]) -> None:
        """Bring the browser to this state by sending it what differs from the last."""
        rows = {row["serial"]: row for row in engines}
        changed = [row for serial, row in rows.items() if self._shown.get(serial) != row]
        removed = [serial for serial in self._shown if serial not in rows]
        if changed or removed or summary != self._summary:
            self.run_method("patch", {"changed": changed, "removed": removed, "summary": summary})
        self._shown, self._summary = rows, summary


class ChannelGrid(Element, component="static/channel_grid.js"):
    """The channels of one engine as small multiples over its last cycles."""

    def __init__(self, rows: Sequence[CycleRow], keep: int) -> None:
        super().__init__()
        self._sent = SentRows()
        self._props["units"] = UNITS
        self._props["decimals"] = DECIMALS
        self._props["keep"] = keep
        self._props["initial"] = self._sent.patch(rows)

    def show(self, rows: Sequence[CycleRow]) -> None:
        """Bring the browser to these rows, the last ones, oldest first."""
        patch = self._sent.patch(rows)
        if patch["rows"]:
            self.run_method("patch", patch)


class SentRows:
    """Which rows a browser has, and which channels their values stand for."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._cycles: set[int] = set()

    def patch(self, rows: Sequence[CycleRow]) -> Row:
        """What the browser lacks of these rows; all of them where a channel is new, because values go by place."""
        seen = dict.fromkeys(name for names in (self._names, *(row.channels for row in rows)) for name in names)
        names = sorted(seen, key=lambda name: _PLACES.get(name, len(_PLACES)))
        if names != self._names:
            self._names, self._cycles = names, set()
        new = [row for row in rows if row.cycle not in self._cycles]
        self._cycles = {row.cycle for row in rows}
        return {"names": names, "rows": [self._point(row) for row in new]}

    def _point(self, row: CycleRow) -> Row:
        values = [row.channels.get(name) for name in self._names]
        return {"cycle": row.cycle, "values": values, "flags": row.flags}
