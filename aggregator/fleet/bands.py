"""Health bands: how near an engine is to the end of its useful life, told from one quantile of its prediction."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from aggregator.fleet.rul import Rul

Quantile = Literal["q05", "q50", "q95"]


class Band(StrEnum):
    """The health of an engine, worst first; ``unknown`` where there is no prediction."""

    CRITICAL = "critical"
    WARNING = "warning"
    HEALTHY = "healthy"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where one band ends and the next begins, in cycles of predicted RUL.

    Attributes:
        critical_below_cycles: below this an engine is critical.
        warning_below_cycles: from there to below this it is in the warning band, above it healthy.
        quantile: of the prediction, what is compared: the median, or a more or less cautious one.
    """

    critical_below_cycles: float = 20
    warning_below_cycles: float = 50
    quantile: Quantile = "q50"


THRESHOLDS = Thresholds()


def band_of(rul: Rul | None, thresholds: Thresholds = THRESHOLDS) -> Band:
    """The band of an engine with this prediction, or None if nothing was predicted.

    >>> band_of(Rul(mean=60, q05=30, q50=60, q95=90, cap=125)), band_of(None)
    (<Band.HEALTHY: 'healthy'>, <Band.UNKNOWN: 'unknown'>)
    >>> band_of(Rul(mean=60, q05=30, q50=60, q95=90, cap=125), Thresholds(quantile="q05"))
    <Band.WARNING: 'warning'>
    """
    if rul is None:
        return Band.UNKNOWN
    cycles = rul.quantile(thresholds.quantile)
    if cycles < thresholds.critical_below_cycles:
        return Band.CRITICAL
    if cycles < thresholds.warning_below_cycles:
        return Band.WARNING
    return Band.HEALTHY


def limits_of(band: Band, thresholds: Thresholds = THRESHOLDS) -> tuple[float, float]:
    """The lowest RUL of a band and the first one above it, in cycles; ``unknown`` has none.

    >>> limits_of(Band.WARNING)
    (20, 50)
    """
    return {
        Band.CRITICAL: (float("-inf"), thresholds.critical_below_cycles),
        Band.WARNING: (thresholds.critical_below_cycles, thresholds.warning_below_cycles),
        Band.HEALTHY: (thresholds.warning_below_cycles, float("inf")),
    }[band]
