"""Judges a sensor row before it reaches the features: channels missing, unknown or out of range, cycles skipped."""

import math

from shared.errors import RowError
from shared.manifest import Manifest
from shared.messages import CYCLE_MAX, Flags
from shared.rows import SensorRow

MISSING = "missing"
OUT_OF_RANGE = "out_of_range"
UNKNOWN = "unknown"
CYCLE_GAP = "cycle_gap"
CYCLE = "cycle"
CHANNELS = "channels"


def row_flags(manifest: Manifest, row: SensorRow, last_cycle: int | None) -> Flags:
    """Flag what is wrong with a row.

    A flag stands under a channel's name, under ``cycle`` for the row as a whole, and under ``channels`` where the row
    has channels that the model does not know.

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
        if value is None or math.isnan(value):
            flags[channel.name] = [MISSING]
        elif not channel.minimum <= value <= channel.maximum:
            flags[channel.name] = [OUT_OF_RANGE]
    if known < len(row.channels):
        flags[CHANNELS] = [UNKNOWN]
    if last_cycle is not None and row.cycle > first_possible:
        flags[CYCLE] = [CYCLE_GAP]
    return flags
