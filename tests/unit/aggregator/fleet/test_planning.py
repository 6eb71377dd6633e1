"""Plans keep to what the shop can do, lose no more than who knows no costs, and say whom they leave out."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.fleet.due import Doubt, Life
from aggregator.fleet.lives import Lives
from aggregator.fleet.planning import LEAST_SAVING, Costs, Policy, Shop, make_plan
from aggregator.fleet.rul import Rul
from aggregator.fleet.utilisation import Utilisation

NOW = datetime(2026, 12, 2, 15, tzinfo=UTC)
TODAY = NOW.date()
COSTS = Costs(unplanned=500, planned=100, wasted_cycle=0.5)


def life(*quantiles, per_day=1.0, flown=0, counted_from=NOW, is_installed=True):
    rul = Rul(quantiles[1], *map(float, quantiles), cap=125.0) if quantiles else None
    rate = None if per_day is None else Utilisation(per_day, "measured")
    return Life(rul, rate, flown, counted_from, is_installed)


def fleet(*lives):
    return Lives.of((10 + place, f"E-{place}", one) for place, one in enumerate(lives))


def day(ahead):
    return TODAY + timedelta(days=ahead)


lives = st.builds(
    lambda quantiles, per_day, flown: life(*sorted(quantiles), per_day=per_day, flown=flown),
    st.lists(st.integers(-10, 140), min_size=3, max_size=3),
    st.sampled_from([0.5, 1.0, 4.0]),
    st.integers(0, 20),
)
shops = st.builds(
    Shop, st.integers(0, 3), st.integers(1, 6), st.integers(-9, 9).map(day), st.sampled_from([0, 0, 1, 10, 30])
)
costs = st.builds(
    lambda planned, more, cycle: Costs(planned + more, planned, cycle),
    *(st.integers(0, 500).map(float) for _ in range(3)),
)


@settings(deadline=None)
@given(st.lists(lives, min_size=1, max_size=8), shops, costs, st.data())
def test_a_plan_keeps_to_the_shop_and_loses_no_more_than_who_knows_no_costs(every, shop, money, data):
    engines = st.integers(10, 9 + len(every))
    days = data.draw(st.dictionaries(engines | st.just(99), st.integers(-9, 60).map(day), max_size=3))
    plan = make_plan(fleet(*every), days, shop, money, NOW)
    assert not {one.engine_id for one in plan.removals} & set(days)
    assert len({one.engine_id for one in plan.removals}) == len(plan.removals)
    done = Counter(max(0, (one.planned_for - shop.first_day).days // 7) for one in plan.removals)
    given_days = Counter(max(0, (when - shop.first_day).days // 7) for when in days.values())
    for week, count in done.items():
        assert count <= shop.capacity_per_week - given_days[week]
        assert week < shop.weeks
    assert all(one.planned_for >= day(shop.lead_time_days) for one in plan.removals)
    least, passed_over = plan.totals[Policy.PLAN].loss, LEAST_SAVING * (money.unplanned - money.planned) * plan.judged
    assert all(least <= total.loss + passed_over + 1e-6 for total in plan.totals.values())
    assert least <= plan.totals[Policy.RUN_TO_FAILURE].loss + 1e-6
    assert all(one.loss < one.loss_if_left for one in plan.removals)
    assert plan.judged + plan.given + sum(plan.left_out.values()) == len(every)


def test_the_one_that_would_lose_most_goes_first_and_the_other_as_late_as_is_wise():
    plan = make_plan(fleet(life(35, 38, 41), life(3, 6, 9)), {}, Shop(1, 6, TODAY), COSTS, NOW)
    assert [(one.serial, one.planned_for) for one in plan.removals] == [("E-1", TODAY), ("E-0", day(28))]
    first, second = plan.removals
    assert second.fails_before < 0.01
    assert second.wasted_cycles == pytest.approx(38 - 28 + 15 / 24, abs=0.1)
    assert second.loss == pytest.approx(400 * second.fails_before + 0.5 * second.wasted_cycles)
    assert first.loss_if_left == pytest.approx(400, abs=0.1)


def test_to_repair_at_q05_is_to_use_the_last_week_before_and_to_wait_where_that_is_full():
    both = fleet(life(16, 20, 25), life(15, 20, 25))
    total = make_plan(both, {}, Shop(1, 6, TODAY), COSTS, NOW).totals[Policy.REPAIR_AT_Q05]
    assert total.planned_removals == 2
    assert total.wasted_cycles == pytest.approx(6.6 + 1.3, abs=0.1)  # the second one may be past its end
    assert total.unplanned_removals == pytest.approx(0.54, abs=0.02)
    alone = make_plan(fleet(life(15, 20, 25)), {}, Shop(1, 6, TODAY), COSTS, NOW).totals[Policy.REPAIR_AT_Q05]
    assert alone.wasted_cycles == pytest.approx(20 - 14 + 15 / 24, abs=0.3)


def test_what_is_left_on_costs_what_it_may_come_to():
    total = make_plan(fleet(life(5, 7, 9), life(110, 125, 126)), {}, Shop(0, 4, TODAY), COSTS, NOW).totals
    assert total[Policy.PLAN] == total[Policy.REPAIR_AT_Q05] == total[Policy.RUN_TO_FAILURE]
    assert total[Policy.PLAN].unplanned_removals == pytest.approx(1, abs=0.001)
    assert total[Policy.PLAN].loss == pytest.approx(400, abs=0.4)


def test_work_that_has_a_day_keeps_it_and_takes_a_place_and_late_work_takes_one_now():
    urgent = [life(3, 6, 9) for _ in range(4)]
    plan = make_plan(fleet(*urgent), {10: day(-20), 99: day(8), 98: day(400)}, Shop(1, 3, TODAY), COSTS, NOW)
    assert plan.removals == []  # in the third week they have surely failed
    assert (plan.given, plan.judged) == (1, 3)
    plan = make_plan(fleet(*urgent), {10: day(-20)}, Shop(2, 3, TODAY), COSTS, NOW)
    assert plan.removals[0].planned_for == TODAY


def test_a_week_that_has_begun_counts_from_today_and_one_that_is_over_not_at_all():
    shop = Shop(1, 4, date(2026, 11, 23))  # a Monday; today is the Wednesday of the second week
    plan = make_plan(fleet(life(2, 3, 4), life(2, 3, 4), life(12, 13, 14)), {}, shop, COSTS, NOW)
    assert plan.removals[0].planned_for == TODAY
    assert all(one.planned_for in (TODAY, date(2026, 12, 7), date(2026, 12, 14)) for one in plan.removals)
    assert shop.ends == date(2026, 12, 21)


def test_a_silent_engine_is_taken_to_have_flown_on_and_not_to_have_failed():
    silent = life(10, 20, 30, counted_from=NOW - timedelta(days=9))
    heard = life(10, 20, 30, flown=9)
    one, other = (make_plan(fleet(each), {}, Shop(1, 4, TODAY), COSTS, NOW).totals for each in (silent, heard))
    assert one == other


def test_whom_nobody_can_plan_for_is_counted_by_the_reason():
    unknown = (
        life(),
        life(30, 40, 50, per_day=None),
        life(30, 40, 50, is_installed=False),
        life(30, 40, 50, flown=125),
        life(30, 40, 50, flown=125, per_day=None),
    )
    plan = make_plan(fleet(*unknown), {}, Shop(1, 2, TODAY), COSTS, NOW)
    assert plan.left_out == {
        Doubt.NO_PREDICTION: 1,
        Doubt.NO_UTILISATION: 2,
        Doubt.NOT_INSTALLED: 1,
        Doubt.AT_CAP: 1,
    }
    assert (plan.removals, plan.judged) == ([], 0)
    assert set(plan.totals) == set(Policy)
