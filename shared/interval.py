"""The interval of a prediction: moved as held-out engines ask for, and widened where rows are worse than theirs."""

from bisect import bisect_right

from shared.manifest import Calibration, Widening
from shared.messages import Flags, RulCycles
from shared.quality import LATE_START, SHORT_HISTORY, SHORT_LATE_START

# A head that rounds onto the median leaves an interval all the same.
SMALLEST_DISTANCE_CYCLES = 1.0


def calibrate(calibration: Calibration, raw: RulCycles) -> RulCycles:
    """Move mean and median, and stretch the interval around the median; keeps q05 < q50 < q95."""
    nodes = calibration.nodes
    upper = min(bisect_right(nodes, raw.q50), len(nodes) - 1)
    lower = max(upper - 1, 0)
    share = (raw.q50 - nodes[lower]) / (nodes[upper] - nodes[lower]) if lower < upper else 0.0
    share = min(max(share, 0.0), 1.0)

    def at_median(values: list[float]) -> float:
        return values[lower] + share * (values[upper] - values[lower])

    q50 = raw.q50 + at_median(calibration.median)
    return RulCycles(
        mean=raw.mean + at_median(calibration.mean),
        q05=q50 - at_median(calibration.below) * max(raw.q50 - raw.q05, SMALLEST_DISTANCE_CYCLES),
        q50=q50,
        q95=q50 + at_median(calibration.above) * max(raw.q95 - raw.q50, SMALLEST_DISTANCE_CYCLES),
    )


def widen(widening: Widening, unusable_channels: int, flags: Flags, rul_cycles: RulCycles) -> RulCycles:
    """Let the interval reach farther for what is wrong with the rows that it rests on.

    Args:
        widening: by how much.
        unusable_channels: feature channels that are missing, out of range, stuck, drifting or recovering, at most as
            many as it lists.
        flags: of the row; what is raised for several channels counts once.
        rul_cycles: calibrated.
    """
    raised = {flag for names in flags.values() for flag in names}
    if SHORT_LATE_START in raised and SHORT_LATE_START not in widening.flags:
        raised |= {SHORT_HISTORY, LATE_START}
    reasons = [widening.flags[flag] for flag in sorted(raised & widening.flags.keys())]
    if unusable_channels:
        reasons.append(widening.unusable_channels[unusable_channels - 1])
    if not reasons:
        return rul_cycles
    return RulCycles(
        mean=rul_cycles.mean,
        q05=rul_cycles.q05 - sum(sides.below for sides in reasons),
        q50=rul_cycles.q50,
        q95=rul_cycles.q95 + sum(sides.above for sides in reasons),
    )
