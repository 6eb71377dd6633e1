"""Judges a row before it reaches the features: channels missing, stuck, unknown or out of range, cycles skipped.

Which channels drift is found by ``shared.drift``.

Flags are of two kinds. Most of them say that a channel cannot be used. Those in ``TOLD`` say something of the samples
that a row was made of (``shared.reduce``); what could not be used of them was left out, and the channel's value is good
or it is missing. They make no channel unusable and widen an interval only if the manifest lists them.
"""

import math
from collections.abc import Set as AbstractSet

import numpy as np

from shared.errors import RowError
from shared.manifest import FeatureSpec, Manifest
from shared.messages import CYCLE_MAX, Flags
from shared.rows import SensorRow

MISSING = "missing"
OUT_OF_RANGE = "out_of_range"
STUCK = "stuck"
DRIFT = "drift"
RECOVERING = "recovering"
UNKNOWN_REGIME = "unknown_regime"
CONTRADICTED = "contradicted"
UNKNOWN = "unknown"
CYCLE_GAP = "cycle_gap"
SHORT_HISTORY = "short_history"
LATE_START = "late_start"
SHORT_LATE_START = "short_late_start"
WINDOW_GAP = "window_gap"
UNKNOWN_AGE = "unknown_age"
SPIKE = "spike"
RATE = "rate"
LATE = "late"
CLOCK = "clock"
COUNTER = "counter"
PARTIAL = "partial"
SOME_MISSING = "some_missing"
SOME_OUT_OF_RANGE = "some_out_of_range"
SOME_STUCK = "some_stuck"
TOLD = frozenset({SPIKE, RATE, LATE, CLOCK, COUNTER, PARTIAL, SOME_MISSING, SOME_OUT_OF_RANGE, SOME_STUCK})
CYCLE = "cycle"
CHANNELS = "channels"


class Repeats:
    """How often one engine's channels have shown the same value in a row; rows that lack it do not count.

    Attributes:
        values: the last one of each channel, NaN before the first.
        rows: in how many rows of each channel; 0 before the first.
    """

    def __init__(self, channels: int) -> None:
        self.values = [math.nan] * channels
        self.rows = [0] * channels

    def take(self, values: list[float]) -> None:
        """Count one row's values; where they are NaN, the one before stands."""
        for column, value in enumerate(values):
            if value == self.values[column]:
                self.rows[column] += 1
            elif not math.isnan(value):
                self.values[column] = value
                self.rows[column] = 1

    def to_bytes(self) -> bytes:
        """Store the counts."""
        return np.array(self.values).tobytes() + np.array(self.rows, np.int32).tobytes()

    @staticmethod
    def stored_bytes(channels: int) -> int:
        """Size of what ``to_bytes`` gives."""
        return channels * (8 + 4)

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Repeats":
        """Restore the counts."""
        channels = len(stored) // (8 + 4)
        repeats = cls(channels)
        repeats.values = np.frombuffer(stored, np.float64, channels).tolist()
        repeats.rows = np.frombuffer(stored, np.int32, channels, channels * 8).tolist()
        return repeats


def row_flags(manifest: Manifest, row: SensorRow, last_cycle: int | None) -> Flags:
    """Flag what is wrong with a row.

    A flag stands under a channel's name, under ``cycle`` for the row as a whole, and under ``channels`` where the row
    has channels that the model does not know. Which channels are stuck, drifting, recovering or contradicted depends on
    the rows before, and on the others: that is for the predictor to say.

    Args:
        manifest: names the channels and their valid ranges; a channel the row lacks is flagged as missing.
        row: the row to judge.
        last_cycle: the engine's last accepted cycle, None before its first.

    Raises:
        RowError: the row cannot be used at all: its cycle does not follow the last one, or is too great.
    """
    first_possible = 1 if last_cycle is None else last_cycle + 1
    if row.cycle < first_possible:
        raise RowError(
            f"engine {row.engine}: cycle {row.cycle} cannot follow "
            f"{'the start' if last_cycle is None else f'cycle {last_cycle}'}; cycles must rise from 1"
        )
    if row.cycle > CYCLE_MAX:
        raise RowError(f"engine {row.engine}: the cycle is above {CYCLE_MAX}")
    flags: Flags = {}
    known = 0
    for channel in manifest.channels:
        value = row.channels.get(channel.name)
        known += value is not None
        if value is None or not channel.minimum <= value <= channel.maximum:
            flags[channel.name] = [MISSING if value is None or math.isnan(value) else OUT_OF_RANGE]
    spec = manifest.features
    if spec.regime_channel not in flags and not _in_regime(spec, row.channels[spec.regime_channel]):
        flags[spec.regime_channel] = [UNKNOWN_REGIME]
    if known < len(row.channels):
        flags[CHANNELS] = [UNKNOWN]
    if last_cycle is not None and row.cycle > first_possible:
        flags[CYCLE] = [CYCLE_GAP]
    return flags


def unusable(flags: Flags, channels: AbstractSet[str]) -> list[str]:
    """Which of some channels have a flag that is not merely told, sorted."""
    return sorted(name for name in flags.keys() & channels if not TOLD.issuperset(flags[name]))


def with_told(flags: Flags, told: Flags) -> Flags:
    """The flags of a row, and after them those that it came with."""
    both = dict(flags)
    for name, names in told.items():
        both[name] = [*both.get(name, []), *names]
    return both


def _in_regime(spec: FeatureSpec, setting: float) -> bool:
    for regime in spec.regimes:  # noqa: SIM110  # a generator would take longer than all its comparisons
        if abs(setting - regime.nominal) <= spec.regime_tolerance:
            return True
    return False
