"""How far a median has fallen over the last cycles flown, and when that is too fast."""

from hypothesis import given
from hypothesis import strategies as st

from aggregator.fleet.conditions import FastDecline, Verdict
from aggregator.fleet.decline import Fall, Median, falls, least_flown

CAP = 125.0
FAST = FastDecline(above_cycles_per_cycle=2, margin_cycles_per_cycle=0.5, over_cycles=8, predictions=1)


def life(ruls, of="engine", step=1):
    return [Median((of,), 1 + step * place, min(rul, CAP), rul >= CAP) for place, rul in enumerate(ruls)]


@given(
    st.lists(st.tuples(st.integers(1, 5), st.floats(0, CAP)), max_size=60),
    st.integers(2, 30),
)
def test_each_is_compared_with_the_earliest_of_the_window(steps, over_cycles):
    cycle, medians = 0, []
    for step, rul in steps:
        cycle += step
        medians.append(Median(("engine",), cycle, rul, rul >= CAP))
    for place, (median, fall) in enumerate(zip(medians, falls(medians, over_cycles), strict=True)):
        first = next(one for one in medians[: place + 1] if one.cycle >= median.cycle - over_cycles)
        flown = median.cycle - first.cycle
        expected = Fall(first.rul_cycles - median.rul_cycles, flown, first.at_cap)
        assert fall == (expected if flown >= least_flown(over_cycles) else None)


@given(st.integers(1, 8), st.integers(2, 8))
def test_another_installation_or_model_is_not_compared_with(before, after):
    medians = [*life([100.0] * before, of="old"), *life([10.0] * after, of="new")]
    assert all(fall is None or fall.fell_cycles == 0 for fall in falls(medians, 4))


def test_a_counter_that_starts_again_is_not_compared_with_what_was_before():
    medians = [*life([100.0] * 9), *life([10.0] * 3)]
    assert list(falls(medians, 4))[9:] == [None, None, None]


@given(st.floats(0, CAP), st.floats(0, CAP), st.integers(2, 40), st.floats(1.01, 10))
def test_where_it_cannot_have_fallen_so_far_it_has_not(first, last, over_cycles, limit):
    fast = FastDecline(above_cycles_per_cycle=limit, over_cycles=over_cycles)
    flown = least_flown(over_cycles)
    if fast.judge(Fall(first - last, flown)) is Verdict.BAD:
        assert fast.may_hold(last, CAP)


def test_to_wear_as_one_flies_is_no_decline_and_twice_as_fast_is():
    def verdicts(per_cycle):
        found = falls(life([110.0 - per_cycle * cycle for cycle in range(20)]), FAST.over_cycles)
        return {FAST.judge(fall) for fall in found}

    unknown = Verdict.BETWEEN
    assert verdicts(1) == {unknown, Verdict.GOOD}
    assert verdicts(1.5) == {unknown, Verdict.GOOD}
    assert verdicts(1.75) == {unknown}
    assert verdicts(2.25) == {unknown, Verdict.BAD}
