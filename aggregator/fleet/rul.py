"""Remaining useful life as a distribution with the cap beyond which a model says no more than "at least"."""

from typing import Literal, NamedTuple


class Rul(NamedTuple):
    """One predicted distribution in cycles, unclipped: mean, 5, 50 and 95 % quantile, and the model's cap."""

    mean: float
    q05: float
    q50: float
    q95: float
    cap: float

    def quantile(self, name: Literal["q05", "q50", "q95"]) -> float:
        """One of its quantiles, in cycles."""
        cycles: float = getattr(self, name)
        return cycles

    def at_cap(self, cycles: float) -> bool:
        """Whether one of its values only says "at least the cap".

        >>> rul = Rul(mean=118.0, q05=96.0, q50=121.0, q95=127.5, cap=125.0)
        >>> rul.at_cap(rul.q50), rul.at_cap(rul.q95)
        (False, True)
        """
        return cycles >= self.cap

    def clipped(self, cycles: float) -> float:
        """One of its values as it is shown: no less than 0 and no more than the cap.

        >>> rul = Rul(mean=1.0, q05=-3.5, q50=2.0, q95=127.5, cap=125.0)
        >>> rul.clipped(rul.q05), rul.clipped(rul.q95)
        (0.0, 125.0)
        """
        return min(max(cycles, 0.0), self.cap)
