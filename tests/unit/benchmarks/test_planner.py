"""The simulated fleets that policies are compared on, with engines whose end is foretold to the cycle."""

import numpy as np
import pytest

from aggregator.fleet.planning import Costs, Policy
from benchmarks.planner import WEEKS_BEFORE, Fleet, summarise

COSTS = Costs(unplanned=5.0, planned=1.0, wasted_cycle=0.01)


class Foretold:
    """Engines that last 80 cycles, of which each quantile says nearly what is left."""

    cap_cycles = 125.0

    def life(self, position, number):
        left = np.arange(79, -1, -1.0)
        return np.column_stack([left - 0.2, left, left + 0.2])


def flown(policy, capacity_per_week=30):
    return Fleet(Foretold(), 20, seed=1).fly(policy, COSTS, capacity_per_week, WEEKS_BEFORE + 52)


def test_an_end_that_is_foretold_is_met_by_the_last_week_before_it():
    sums = flown(Policy.PLAN)
    assert sums.unplanned == 0
    assert 0 < sums.wasted_cycles / sums.planned < 3 * 7
    assert sums.figures(5.0)["money"] == pytest.approx(1000 * sums.planned / sums.cycles)


def test_without_a_shop_every_engine_fails_at_its_end_and_nothing_is_wasted():
    for policy in Policy:
        sums = flown(policy, capacity_per_week=0)
        assert (sums.planned, sums.wasted_cycles) == (0, 0)
        assert sums.cycles / sums.unplanned == pytest.approx(80, rel=0.05)
        assert sums.figures(5.0)["money"] == pytest.approx(5 * 1000 / 80, rel=0.05)


def test_figures_are_told_with_their_spread_over_the_fleets():
    found = summarise([{"a": {"money": 1.0}}, {"a": {"money": 3.0}}])
    assert found == {"a": {"money": (2.0, pytest.approx(2**0.5))}}
