"""How likely engines have failed by when, and how many cycles they would have had left: over arrays, one row each.

Between the three stated quantiles of a prediction the distribution is linear, as ``due.between`` has it. Its tails are
exponential, and fall from 5 to 1 % as far from the quantile as those of a normal distribution do. Of what lies at the
model's cap nothing is told: nobody is taken to fail between the last quantile below the cap and the cap.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_OUTSIDE = 0.05
_BETWEEN = 0.5 - _OUTSIDE
_TAIL = 0.257
"""Scale of a tail by the distance from its quantile to the median: (2.326 - 1.645) / 1.645 / ln 5."""
_LEAST_CYCLES = 1e-3  # between two quantiles: a step would have no slope

Floats = NDArray[np.float64]


class Odds(NamedTuple):
    """What becomes of engines that are left alone until some instants; shapes (engines, instants).

    Attributes:
        fails: the probability that it has failed by then.
        wasted_cycles: how many cycles it has left then in expectation, counted up to the cap; none if it has failed.
    """

    fails: Floats
    wasted_cycles: Floats


def odds(quantiles: tuple[Floats, Floats, Floats], cap: Floats, used: Floats, until: Floats) -> Odds:
    """What becomes of engines that have not failed yet.

    Args:
        quantiles: q05, q50 and q95 of their remaining cycles, each of shape (engines).
        cap: of the model, in cycles.
        used: how many of these cycles each has used up and lasted; below the cap.
        until: how many it will have used up, shape (engines, instants); no fewer than ``used``.

    >>> one = [np.array([value]) for value in (30.0, 50.0, 80.0, 125.0, 0.0)]
    >>> fails, wasted = odds((one[0], one[1], one[2]), one[3], one[4], np.array([[10.0, 50.0, 125.0]]))
    >>> fails.round(3).tolist(), wasted.round(1).tolist()
    ([[0.001, 0.5, 1.0]], [[42.9, 8.6, 0.0]])
    """
    q05, q50, q95 = (quantile[:, None] for quantile in quantiles)
    q50 = np.maximum(q50, q05 + _LEAST_CYCLES)
    q95 = np.maximum(q95, q50 + _LEAST_CYCLES)
    curve = _Curve(q05, q50, q95, cap[:, None])
    # An exponential tail remembers nothing: whoever is in it is looked at as at its beginning, far from rounding.
    late = np.maximum(0.0, used[:, None] - q95)
    now, then, end = used[:, None] - late, np.minimum(until, cap[:, None]) - late, cap[:, None] - late
    alive = 1.0 - curve.failed(now)
    fails = (curve.failed(then) - curve.failed(now)) / alive
    left = (end - then) - (curve.failed_area(end) - curve.failed_area(then))
    return Odds(np.clip(fails, 0.0, 1.0), np.maximum(left, 0.0) / alive)


class _Curve:
    """The distribution functions of lives; arguments of shape (engines, anything), no farther than the cap."""

    def __init__(self, q05: Floats, q50: Floats, q95: Floats, cap: Floats) -> None:
        self._q05, self._q50, self._q95 = q05, q50, q95
        self._lower_slope = np.where(q50 < cap, _BETWEEN / (q50 - q05), 0.0)
        self._upper_slope = np.where(q95 < cap, _BETWEEN / (q95 - q50), 0.0)
        self._lower_scale = _TAIL * (q50 - q05)
        self._upper_scale = _TAIL * (q95 - q50)

    def failed(self, cycles: Floats) -> Floats:
        """The probability of no more than so many cycles."""
        below, lower, upper, above = self._parts(cycles)
        low_tail = _OUTSIDE * np.exp(below / self._lower_scale)
        high_tail = _OUTSIDE * -np.expm1(-above / self._upper_scale)
        return np.asarray(low_tail + self._lower_slope * lower + self._upper_slope * upper + high_tail)

    def failed_area(self, cycles: Floats) -> Floats:
        """The integral of ``failed`` up to so many cycles."""
        below, lower, upper, above = self._parts(cycles)
        area = _OUTSIDE * self._lower_scale * np.exp(below / self._lower_scale)
        area += _OUTSIDE * lower + self._lower_slope * lower**2 / 2
        area += 0.5 * upper + self._upper_slope * upper**2 / 2
        area += above - _OUTSIDE * self._upper_scale * -np.expm1(-above / self._upper_scale)
        return np.asarray(area)

    def _parts(self, cycles: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """How far it is into each part: left of q05 (at most 0), from q05 on, from q50 on, and beyond q95."""
        return (
            np.minimum(cycles - self._q05, 0.0),
            np.clip(cycles - self._q05, 0.0, self._q50 - self._q05),
            np.clip(cycles - self._q50, 0.0, self._q95 - self._q50),
            np.maximum(cycles - self._q95, 0.0),
        )
