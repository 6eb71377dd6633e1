"""Health bands: how near an engine is to the end of its useful life, told from its predicted median."""

from dataclasses import dataclass
from enum import StrEnum


class Band(StrEnum):
    """The health of an engine, worst first; ``unknown`` where there is no prediction."""

    CRITICAL = "critical"
    WARNING = "warning"
    HEALTHY = "healthy"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where one band ends and the next begins, in cycles of predicted median RUL.

    Attributes:
        critical_below_cycles: below this an engine is critical.
        warning_below_cycles: from there to below this it is in the warning band, above it healthy.
    """

    critical_below_cycles: float = 20
    warning_below_cycles: float = 50


THRESHOLDS = Thresholds()


def band_of(rul_q50_cycles: float | None, thresholds: Thresholds = THRESHOLDS) -> Band:
    """The band of an engine whose predicted median RUL is this many cycles, or None if nothing was predicted.

    >>> [str(band_of(cycles)) for cycles in (19.9, 20, 49.9, 50, None)]
    ['critical', 'warning', 'warning', 'healthy', 'unknown']
    """
    if rul_q50_cycles is None:
        return Band.UNKNOWN
    if rul_q50_cycles < thresholds.critical_below_cycles:
        return Band.CRITICAL
    if rul_q50_cycles < thresholds.warning_below_cycles:
        return Band.WARNING
    return Band.HEALTHY


def limits_of(band: Band, thresholds: Thresholds = THRESHOLDS) -> tuple[float, float]:
    """The lowest median RUL of a band and the first one above it, in cycles; ``unknown`` has none.

    >>> limits_of(Band.WARNING)
    (20, 50)
    """
    return {
        Band.CRITICAL: (float("-inf"), thresholds.critical_below_cycles),
        Band.WARNING: (thresholds.critical_below_cycles, thresholds.warning_below_cycles),
        Band.HEALTHY: (thresholds.warning_below_cycles, float("inf")),
    }[band]
