"""Predictions held against lives whose end is known, beside a plain reference."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.fleet.conditions import RulLow
from aggregator.fleet.scoring import Held, figures_of, first_spoke, sum_up

CAP = 125.0


def simulated(seed, cycles=200, bias=0.0, noise=8.0, width=15.0):
    """A life of so many cycles, and a model that errs by a bias and noise."""
    random = np.random.default_rng(seed)
    left = np.arange(cycles - 1, -1, -1, dtype=np.float64)
    middle = np.minimum(left, CAP + 10) + bias + random.normal(0, noise, cycles)
    return Held(left, middle - 0.5, middle - width, middle, middle + width, np.full(cycles, CAP))


def reference(lives):
    """The figures, one prediction after another, as the handbook defines them."""
    errors, scores, near, covered, widths = [], [], [], [], []
    for held in lives:
        for left, mean, q05, q95 in zip(held.left, held.mean, held.q05, held.q95, strict=True):
            label = min(left, CAP)
            error = min(max(mean, 0.0), CAP) - label
            errors.append(error)
            scores.append(math.exp(-error / 13) - 1 if error < 0 else math.exp(error / 10) - 1)
            if left <= 50:
                near.append(error)
            covered.append(min(q05, CAP) <= label <= max(q95, 0.0))
            widths.append(q95 - q05)
    return {
        "lives": len(lives),
        "predictions": len(errors),
        "rmse_cycles": math.sqrt(sum(error**2 for error in errors) / len(errors)),
        "mae_cycles": sum(map(abs, errors)) / len(errors),
        "bias_cycles": sum(errors) / len(errors),
        "score_mean": sum(scores) / len(scores),
        "rmse_near_failure_cycles": math.sqrt(sum(error**2 for error in near) / len(near)),
        "coverage": sum(covered) / len(covered),
        "width_cycles": sum(widths) / len(widths),
    }


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(60, 300)), min_size=1, max_size=4))
def test_figures_over_lives_are_those_over_all_their_predictions(drawn):
    lives = [simulated(seed, cycles) for seed, cycles in drawn]
    figures = figures_of([sum_up(held, is_failure=True) for held in lives])
    for name, value in reference(lives).items():
        assert getattr(figures, name) == pytest.approx(value), name


def test_an_interval_over_lives_takes_five_and_holds_what_drawing_lives_anew_gives():
    sums = [sum_up(simulated(seed, bias=3.0 * seed), is_failure=True) for seed in range(6)]
    assert figures_of(sums[:4]).rmse_interval is None
    figures = figures_of(sums)
    low, high = figures.rmse_interval
    of_each = [math.sqrt(one.squared_error_sum / one.predictions) for one in sums]
    assert min(of_each) < low < figures.rmse_cycles < high < max(of_each)
    assert figures.coverage_interval[0] < figures.coverage < figures.coverage_interval[1]


def test_of_a_life_that_ended_by_maintenance_only_what_is_certain_is_said():
    held = simulated(1, bias=-40.0)
    sums = sum_up(held, is_failure=False)
    certain = sum(high < min(left, CAP) for left, high in zip(held.left, held.q95, strict=True))
    assert (sums.predictions, sums.too_low) == (200, certain)
    assert certain > 100
    assert sums.squared_error_sum == sums.covered == 0
    assert sum_up(simulated(1, bias=60.0), is_failure=False).too_low == 0  # the engine may well have lasted so long


def test_at_least_the_cap_is_true_of_whatever_is_left_beyond_it():
    far = np.array([300.0])
    beyond = Held(far, far * 0 + 140, far * 0 + 130, far * 0 + 140, far * 0 + 150, far * 0 + CAP)
    assert sum_up(beyond, is_failure=True).covered == 1


def test_nothing_predicted_is_no_figure():
    nothing = np.array([])
    assert figures_of([sum_up(Held(*[nothing] * 6), is_failure=True)]) is None
    assert first_spoke(Held(*[nothing] * 6), {"low": RulLow(below_cycles=20, probability=0.05)}) == {"low": None}


def test_a_rule_first_spoke_when_it_would_have_raised_its_alarm():
    held = simulated(3, noise=0.0)
    critical = RulLow(below_cycles=20, probability=0.05, predictions=3)
    # q05 is 15 below what is left: from 34 left on three in a row say fewer than 20.
    assert first_spoke(held, {"rul-critical": critical}) == {"rul-critical": 32}
