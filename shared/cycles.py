"""Samples of one engine → its cycle rows: channels are joined into instants, and instants fall into cycles.

A cycle ends where the hardware's counter moves on, its flag falls or its samples pause; the row is given out then, or
after a quiet time. What is odd is believed only if the next instant bears it out: a counter that does not count on by
one, a flag, a leap in time. What comes late, for a cycle that is closed, is left out and told with the next row.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import msgspec
from msgspec.structs import replace

from shared.messages import CYCLE_MAX, Flags
from shared.quality import CLOCK, COUNTER, CYCLE, LATE, PARTIAL
from shared.reduce import ChannelReduction, ChannelRule
from shared.rows import Sample, SensorRow

# So many late instants in a row, and none in time: the hardware's clock or counter was set back.
LATE_IN_A_ROW = 600
REMEMBERED_INSTANTS = 512
JUMP_S = 3600.0
UNKNOWN_CHANNELS_NAMED = 16


@dataclass(frozen=True, slots=True)
class CycleRule:
    """What tells one cycle of an engine from the next.

    Attributes:
        by: ``counter``: the hardware counts cycles. ``flag``: a channel is 0.5 or more during a cycle and less between
            two. ``gap``: between two cycles nothing comes for ``gap_s``. Without a counter cycles are counted here.
        channel: which channel is the counter or the flag; a counter may also come as ``Sample.cycle``.
        wraps_at: the counter goes back to 0 instead of reaching this; None where it does not.
        gap_s: by the samples' own time.
        join_s: channels that are observed so close together are one instant.
    """

    by: Literal["counter", "flag", "gap"] = "counter"
    channel: str | None = None
    wraps_at: int | None = None
    gap_s: float = 300.0
    join_s: float = 0.0


class Begun(msgspec.Struct, frozen=True):
    """The first instant of a cycle; NaN as None."""

    cycle: int
    at: datetime
    channels: dict[str, float | None]


class Place(msgspec.Struct, frozen=True):
    """Where the last cycle ended: from here, the samples after it give the same rows again.

    Attributes:
        sample_id: samples up to this one are done with.
        cycle: the last closed cycle; 0 before the first.
        ended_at: when its last instant was observed.
        begun: how the next cycle began, if it has.
        told: what is already told of it.
    """

    sample_id: int = 0
    cycle: int = 0
    ended_at: datetime | None = None
    begun: Begun | None = None
    told: Flags = {}


@dataclass(slots=True)
class _Instant:
    """Channels of one engine that were observed together; ``first`` and ``last`` are the ids of its samples."""

    first: int
    last: int
    at: datetime
    cycle: int | None
    channels: dict[str, float]
    claim: int | None = None
    at_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.at_s = self.at.timestamp()

    @property
    def key(self) -> int:
        """By which a repeat is known: other values under the same time are no repeat but a clock that stands still."""
        values = frozenset((name, None if value != value else value) for name, value in self.channels.items())
        return hash((self.at, self.cycle, values))

    def repeats(self, sample: Sample) -> bool:
        return (
            sample.observed_at == self.at
            and sample.cycle in (None, self.cycle)
            and all(_is_same(value, self.channels.get(name)) for name, value in sample.channels.items())
        )

    def takes(self, sample: Sample, join_s: float) -> bool:
        """Whether a sample is of this instant."""
        return (
            (self.cycle is None or sample.cycle is None or self.cycle == sample.cycle)
            and abs(sample.observed_at.timestamp() - self.at_s) <= join_s
            and self.channels.keys().isdisjoint(sample.channels)
        )

    def add(self, sample: Sample) -> None:
        self.channels |= sample.channels
        self.cycle = sample.cycle if self.cycle is None else self.cycle


def _is_same(value: float, other: float | None) -> bool:
    return value == other or (other is not None and value != value and other != other)


@dataclass(slots=True)
class _Open:
    """The cycle in work."""

    cycle: int
    started_s: float
    last: _Instant
    reductions: dict[str, ChannelReduction] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)


class EngineCycles:
    """The cycles of one engine; remembers a bounded amount, however many samples a cycle has.

    Args:
        engine: its serial.
        rule: what tells cycles apart.
        channels: how each channel is judged and reduced.
        place: what is left of the cycles before.
        lost: samples of the cycle after ``place`` are missing.
    """

    def __init__(
        self, engine: str, rule: CycleRule, channels: Sequence[ChannelRule], place: Place, *, lost: bool = False
    ) -> None:
        self._engine = engine
        self._rule = rule
        self._channels = {one.name: one for one in channels}
        self._joining: _Instant | None = None
        self._held: _Instant | None = None
        self._open: _Open | None = None
        self._late_in_a_row = 0
        self._recent: deque[tuple[datetime, int]] = deque(maxlen=REMEMBERED_INSTANTS)
        self._past: deque[datetime] = deque(maxlen=REMEMBERED_INSTANTS)
        self._told = {name: set(flags) for name, flags in place.told.items()}
        self._ended_s = place.ended_at.timestamp() if place.ended_at else -math.inf
        self._begin_unseen = lost or (place.cycle == 0 and place.begun is None)
        self.place = place
        if (begun := place.begun) is not None:
            if lost:
                self._tell(CYCLE, PARTIAL)
            values = {name: math.nan if value is None else value for name, value in begun.channels.items()}
            reading = self._reading(begun.cycle)
            self._open_with(_Instant(place.sample_id, place.sample_id, begun.at, reading, values, begun.cycle))

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing that ``close`` could give out."""
        return self._open is None and self._joining is None and self._held is None

    def remember(self, observed_at: datetime) -> None:
        """Know a sample from before ``place``: one of that time that comes again is a repeat and not late."""
        self._past.append(observed_at)

    def take(self, sample_id: int, sample: Sample) -> list[SensorRow]:
        """Take the next sample, whose id is greater than all before; gives the rows of the cycles that it ended."""
        joining = self._joining
        if joining is not None and (joining.repeats(sample) or joining.takes(sample, self._rule.join_s)):
            joining.last = sample_id
            if not joining.repeats(sample):
                joining.add(sample)
            return []
        self._joining = _Instant(sample_id, sample_id, sample.observed_at, sample.cycle, dict(sample.channels))
        return [] if joining is None else self._settle(joining)

    def close(self) -> list[SensorRow]:
        """End the cycle in work, because nothing came for so long; gives its row."""
        joining, self._joining = self._joining, None
        rows = [] if joining is None else self._settle(joining)
        last_id = max(self.place.sample_id, *(one.last for one in (joining, self._held) if one), 0)
        if self._held is not None:
            self._disbelieve(self._held)
            self._held = None
        return rows + self._end(last_id)

    def _settle(self, instant: _Instant) -> list[SensorRow]:
        """Put an instant that is complete into its cycle."""
        self._read_boundary(instant)
        return [] if (instant.at, instant.key) in self._recent else self._put(instant)

    def _put(self, instant: _Instant) -> list[SensorRow]:
        self._recent.append((instant.at, instant.key))
        self._claim(instant)
        if self._is_late(instant):
            return []
        held, self._held = self._held, None
        if held is not None and self._bears_out(held, instant):
            if held.claim is None:
                return self._end(instant.last)
            return self._begin(held, instant.first - 1) + self._put(instant)
        if held is not None:
            self._disbelieve(held)
        if instant.claim == self._current:
            self._add(instant)
        elif self._is_sure(instant):
            return self._begin(instant, instant.last)
        else:
            self._held = instant
        return []

    @property
    def _current(self) -> int | None:
        return None if self._open is None else self._open.cycle

    def _read_boundary(self, instant: _Instant) -> None:
        """Take the counter or the flag out of the channels: ``cycle`` becomes its reading, of a flag 1, 0 or None."""
        if self._rule.by == "gap":
            instant.cycle = None
        if self._rule.channel is not None and self._rule.by != "gap":
            value = instant.channels.pop(self._rule.channel, math.nan)
            if self._rule.by == "flag":
                instant.cycle = None if value != value else int(value >= 0.5)
            elif value == value and instant.cycle is None:
                instant.cycle = int(value) if 0 <= value <= CYCLE_MAX and value == int(value) else None
                if instant.cycle is None:
                    self._tell(CYCLE, COUNTER)

    def _claim(self, instant: _Instant) -> None:
        """Say which cycle an instant claims to be of, as things stand; None: of none."""
        current, next_cycle = self._current, (self._current or self.place.cycle) + 1
        match self._rule.by:
            case "counter":
                instant.claim = current if instant.cycle is None else self._unwrapped(instant.cycle)
            case "flag" if instant.cycle is None:
                instant.claim = current
            case "flag":
                instant.claim = (current or next_cycle) if instant.cycle else None
                self._begin_unseen &= bool(instant.cycle)
            case "gap":
                pause_s = 0.0 if self._open is None else instant.at_s - self._open.last.at_s
                instant.claim = next_cycle if current is None or pause_s > self._rule.gap_s else current

    def _reading(self, cycle: int) -> int | None:
        """What the counter or flag reads in a cycle."""
        match self._rule.by:
            case "counter":
                return cycle % self._rule.wraps_at if self._rule.wraps_at else cycle
            case "flag":
                return 1
            case "gap":
                return None

    def _unwrapped(self, reading: int) -> int:
        """The cycle nearest to the present one that the counter may mean."""
        wraps_at, present = self._rule.wraps_at, self._current or self.place.cycle
        if wraps_at is None or present == 0:
            return reading
        ahead = (reading - present) % wraps_at
        return present + (ahead if ahead <= wraps_at // 2 else ahead - wraps_at)

    def _is_late(self, instant: _Instant) -> bool:
        """Whether an instant belongs to a closed cycle, so that it is left out."""
        claim, closed = instant.claim, self.place.cycle
        if self._rule.by == "counter":
            over = claim is not None and claim != self._current and claim <= closed
            late = over and (claim == closed or instant.at_s <= self._ended_s)
        else:
            late = instant.at_s < self._open.started_s if self._open else instant.at_s <= self._ended_s
        if not late:
            self._late_in_a_row = 0
            return False
        if instant.at in self._past:
            return True
        self._late_in_a_row += 1
        if self._late_in_a_row < LATE_IN_A_ROW or (self._rule.by == "counter" and claim == closed):
            for name in instant.channels:
                self._tell(name if name in self._channels else CYCLE, LATE)
            return True
        self._late_in_a_row = 0
        self._tell(CYCLE, CLOCK)
        self._ended_s = -math.inf
        if self._open is not None:
            self._open.started_s = instant.at_s
        return False

    def _is_sure(self, instant: _Instant) -> bool:
        """Whether a claim to another cycle than the present one is believed at once."""
        match self._rule.by:
            case "counter":
                present = self._current or self.place.cycle
                return present == 0 or instant.claim == present + 1
            case "flag":
                return False
            case "gap":
                return self._open is None

    def _bears_out(self, held: _Instant, instant: _Instant) -> bool:
        """Whether the next instant tells the same."""
        match self._rule.by:
            case "counter":
                again = instant.claim in (held.claim, (held.claim or 0) + 1)
                return again and instant.cycle is not None and instant.claim != self._current
            case "flag":
                return instant.claim == held.claim
            case "gap":
                return instant.at_s >= held.at_s

    def _disbelieve(self, held: _Instant) -> None:
        """A counter or flag was wrong for one instant, whose channels may be right; a wrong time leaves nothing."""
        if self._rule.by == "gap":
            self._tell(CYCLE, CLOCK)
            return
        self._tell(CYCLE, COUNTER)
        self._add(held)

    def _begin(self, instant: _Instant, done_id: int) -> list[SensorRow]:
        """End the cycle in work and begin the one that an instant claims."""
        rows = self._end(done_id)
        if self._begin_unseen:
            self._tell(CYCLE, PARTIAL)
        if instant.at_s < self._ended_s - self._rule.join_s:
            self._tell(CYCLE, CLOCK)
        channels = {name: None if value != value else value for name, value in instant.channels.items()}
        begun = Begun(instant.claim or 0, instant.at, channels)
        self.place = replace(self.place, sample_id=done_id, begun=begun, told=self._flags())
        self._open_with(instant)
        return rows

    def _open_with(self, instant: _Instant) -> None:
        self._begin_unseen = False
        self._open = _Open(instant.claim or 0, instant.at_s, instant)
        self._recent.append((instant.at, instant.key))
        self._add(instant)

    def _add(self, instant: _Instant) -> None:
        """Reduce an instant's channels into the cycle in work; between two cycles they are of none."""
        work = self._open
        if work is None:
            return
        pause_s = instant.at_s - work.last.at_s
        stands = (
            pause_s == 0 and instant is not work.last and not instant.channels.keys().isdisjoint(work.last.channels)
        )
        if stands or pause_s < -self._rule.join_s or (pause_s > JUMP_S and self._rule.by != "gap"):
            self._tell(CYCLE, CLOCK)
        work.last = instant
        for name, value in instant.channels.items():
            reduction = work.reductions.get(name)
            if reduction is None:
                rule = self._channels.get(name)
                if rule is None:
                    if len(work.unknown) < UNKNOWN_CHANNELS_NAMED:
                        work.unknown.add(name)
                    continue
                reduction = work.reductions[name] = ChannelReduction(rule)
            reduction.take(instant.at_s, value)

    def _end(self, done_id: int) -> list[SensorRow]:
        work, self._open = self._open, None
        if work is None:
            return []
        self.place = Place(done_id, work.cycle, work.last.at)
        self._ended_s = work.last.at_s
        self._past += (at for at, _ in self._recent)
        self._recent.clear()
        channels = dict.fromkeys(sorted(work.unknown), math.nan)
        for name, reduction in work.reductions.items():
            channels[name], flags = reduction.result()
            for flag in flags:
                self._tell(name, flag)
        told = self._flags()
        self._told.clear()
        return [SensorRow(self._engine, work.cycle, work.last.at, channels, msgspec.json.encode(channels), told)]

    def _flags(self) -> Flags:
        return {name: sorted(flags) for name, flags in sorted(self._told.items())}

    def _tell(self, name: str, flag: str) -> None:
        self._told.setdefault(name, set()).add(flag)
