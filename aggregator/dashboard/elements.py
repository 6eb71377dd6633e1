"""The elements that draw many changing values: each takes a first state and then only what changed."""

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui.element import Element

from aggregator.fleet.movement import Baseline
from aggregator.store.reads.engine import CycleRow
from shared.cmapss import CHANNELS, DECIMALS, UNITS

Row = Mapping[str, Any]

_PLACES = {name: place for place, name in enumerate(CHANNELS)}


class ListView(Element, component="static/list_view.js"):
    """A list with what leads through it.

    It emits ``view`` with what somebody chose to see, and ``act`` with what they want done to which rows.

    Args:
        fixed: what stays the same, by the names of the element's properties.
        state: the rows, the time, and the ``head``, all else that changes.
    """

    def __init__(self, fixed: Row, state: Row) -> None:
        super().__init__()
        self._rows = {row["key"]: row for row in state["rows"]}
        self._head = state["head"]
        self._props.update(fixed)
        self._props["initial"] = {**state}

    def show(self, state: Row) -> None:
        """Bring the browser to this state by sending it what differs from the last."""
        rows, head = {row["key"]: row for row in state["rows"]}, state["head"]
        changed = [row for key, row in rows.items() if self._rows.get(key) != row]
        order = list(rows) if list(rows) != list(self._rows) else None
        if changed or order is not None or head != self._head:
            patch = {"rows": changed, "order": order, "head": head if head != self._head else None}
            self.run_method("patch", patch)
        self._rows, self._head = rows, head

    def say(self, text: str) -> None:
        """Say below the list what has come of something."""
        self.run_method("say", text)


class ChannelGrid(Element, component="static/channel_grid.js"):
    """The channels of one engine as small multiples over its last cycles, their values or how far from its baseline."""

    def __init__(self, rows: Sequence[CycleRow], baseline: Baseline | None, keep: int) -> None:
        super().__init__()
        self._sent = SentRows()
        self._props["units"] = UNITS
        self._props["decimals"] = DECIMALS
        self._props["keep"] = keep
        self._props["initial"] = self._sent.patch(rows, baseline)

    def show(self, rows: Sequence[CycleRow], baseline: Baseline | None) -> None:
        """Bring the browser to these rows, the last ones, oldest first."""
        patch = self._sent.patch(rows, baseline)
        if patch["rows"]:
            self.run_method("patch", patch)


class SentRows:
    """Which rows a browser has, which channels their values stand for, and which baseline they are compared with."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._cycles: set[int] = set()
        self._baseline: Baseline | None = None

    def patch(self, rows: Sequence[CycleRow], baseline: Baseline | None) -> Row:
        """What the browser lacks of these rows; all of them where a channel is new or the baseline another one."""
        seen = dict.fromkeys(name for names in (self._names, *(row.channels for row in rows)) for name in names)
        names = sorted(seen, key=lambda name: _PLACES.get(name, len(_PLACES)))
        if (names, baseline) != (self._names, self._baseline):
            self._names, self._baseline, self._cycles = names, baseline, set()
        new = [row for row in rows if row.cycle not in self._cycles]
        self._cycles = {row.cycle for row in rows}
        return {"names": names, "rows": [self._point(row) for row in new], "has_baseline": baseline is not None}

    def _point(self, row: CycleRow) -> Row:
        values = [row.channels.get(name) for name in self._names]
        distances = self._baseline.distances(row.channels) if self._baseline else {}
        return {
            "cycle": row.cycle,
            "values": values,
            "distances": [distances.get(name) for name in self._names],
            "flags": row.flags,
        }
