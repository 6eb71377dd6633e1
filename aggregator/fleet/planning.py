"""When engines should come off: the plan that loses least in expectation, beside two that need no model of costs.

A loss is what is paid beyond one planned removal of an engine at the very end of its life: the rest of an unplanned one
if it fails before, and the cycles that are wasted if it comes off with some left.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aggregator.fleet.due import Doubt
from aggregator.fleet.lives import Lives
from aggregator.fleet.slots import LEFT, Floats, Places, assign
from aggregator.fleet.survival import Odds, odds

DAYS_PER_WEEK = 7
LEAST_SAVING = 0.01
"""Of what an unplanned removal costs more; for less no removal is planned, as of an engine that has failed by then."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US_PER_DAY = 86_400_000_000


class Policy(StrEnum):
    """By what is decided when an engine comes off."""

    PLAN = "plan"
    REPAIR_AT_Q05 = "repair_at_q05"
    RUN_TO_FAILURE = "run_to_failure"


class Costs(NamedTuple):
    """Of an unplanned and a planned removal, and of a wasted cycle of life; in one currency, whichever it is."""

    unplanned: float
    planned: float
    wasted_cycle: float

    def losses(self, found: Odds) -> Floats:
        """What is lost in expectation by removals at some instants."""
        return (self.unplanned - self.planned) * found.fails + self.wasted_cycle * found.wasted_cycles


class Shop(NamedTuple):
    """What can be done: so many removals in each of some weeks of seven days, none before parts are there."""

    capacity_per_week: int
    weeks: int
    first_day: date
    lead_time_days: int = 0

    @property
    def ends(self) -> date:
        """The day after the last week."""
        return self.first_day + timedelta(days=DAYS_PER_WEEK * self.weeks)

    def starts(self, now: datetime) -> list[datetime]:
        """When an engine comes off that is planned for a week: as it begins, or now if it has begun; and the end."""
        began = datetime.combine(self.first_day, time(), UTC)
        return [max(now, began + timedelta(days=DAYS_PER_WEEK * week)) for week in range(self.weeks + 1)]

    def slots(self, taken: Sequence[date], now: datetime) -> Places:
        """How many are free in each week, beside what is to be done on these days already; late work is done first."""
        slots = np.full(self.weeks, self.capacity_per_week)
        for day in taken:
            week = max(0, (day - self.first_day).days // DAYS_PER_WEEK)
            if week < self.weeks:
                slots[week] -= 1
        starts = self.starts(now)
        there = now.date() + timedelta(days=self.lead_time_days)
        is_over = np.array([ends <= now for ends in starts[1:]])
        is_early = np.array([start.date() < there for start in starts[:-1]])
        return np.where(is_over | is_early, 0, np.maximum(slots, 0))


class Removal(NamedTuple):
    """One engine that is to come off.

    Attributes:
        planned_for: the day on which its week begins, or today if that has begun.
        fails_before: the probability that it fails before.
        wasted_cycles: those it has left then, in expectation.
        loss: in expectation, in the currency of the costs.
        loss_if_left: the same if it is left on beyond the last week.
    """

    engine_id: int
    serial: str
    planned_for: date
    fails_before: float
    wasted_cycles: float
    loss: float
    loss_if_left: float


class Total(NamedTuple):
    """What a policy comes to over all engines, in expectation but for the removals it plans."""

    planned_removals: int
    unplanned_removals: float
    wasted_cycles: float
    loss: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan, what it and the others come to, and of which engines it knows what.

    Attributes:
        removals: by week, those first that would lose most if they were left on.
        judged: how many engines there was a choice for.
        given: how many had a day already, which they keep.
        left_out: how many nobody can plan for, by the reason.
    """

    removals: Sequence[Removal]
    totals: Mapping[Policy, Total]
    judged: int
    given: int
    left_out: Mapping[Doubt, int]


class Prospects(NamedTuple):
    """What is expected of the engines that there is a choice for.

    Attributes:
        at: the odds as each week begins, and at the end of the last one.
        losses: by a removal in each week, shape (engines, weeks).
        losses_if_left: where there is none until the end.
        least_saving: for what an engine is worth a slot.
        days_to_q05: until the lower quantile is used up; infinite at the cap.
        days: until each week begins, and until the last one ends.
    """

    at: Odds
    losses: Floats
    losses_if_left: Floats
    least_saving: float
    days_to_q05: Floats
    days: Floats


Assign = Callable[[Prospects, Places], Places]


def make_plan(lives: Lives, days: Mapping[int, date], shop: Shop, costs: Costs, now: datetime) -> Plan:
    """Plan removals.

    Args:
        lives: of all engines in question.
        days: those on which engines have a day already, by their key.
        shop: what can be done when.
        costs: of what may come of it.
        now: the time.

    Raises:
        SlotsError: it took too long.
    """
    is_given = np.isin(lives.engine_ids, list(days))
    used, doubts = _used(lives, now)
    chosen = np.flatnonzero(~is_given & np.array([doubt is None for doubt in doubts], dtype=np.bool_))
    left_out = Counter(doubt for doubt, given in zip(doubts, is_given, strict=True) if doubt is not None and not given)
    slots = shop.slots(list(days.values()), now)
    starts = shop.starts(now)
    prospects = prospects_of(lives, chosen, used, _days_from(now, starts), costs)
    weeks = {policy: assign_by(prospects, slots) for policy, assign_by in POLICIES.items()}
    removals = [
        Removal(
            lives.engine_ids[chosen[place]],
            lives.serials[chosen[place]],
            starts[week].date(),
            float(prospects.at.fails[place, week]),
            float(prospects.at.wasted_cycles[place, week]),
            float(prospects.losses[place, week]),
            float(prospects.losses_if_left[place]),
        )
        for place, week in enumerate(weeks[Policy.PLAN].tolist())
        if week != LEFT
    ]
    return Plan(
        sorted(removals, key=lambda one: (one.planned_for, -one.loss_if_left, one.serial)),
        {policy: total_of(prospects, assigned) for policy, assigned in weeks.items()},
        len(chosen),
        int(is_given.sum()),
        left_out,
    )


def prospects_of(lives: Lives, chosen: NDArray[np.intp], used: Floats, days: Floats, costs: Costs) -> Prospects:
    """What is expected of some engines.

    Args:
        lives: of all.
        chosen: their places in it.
        used: how many cycles each has used up since its prediction, of all.
        days: from now until each week begins, and until the last one ends.
        costs: of removals.
    """
    quantiles = lives.quantiles[0][chosen], lives.quantiles[1][chosen], lives.quantiles[2][chosen]
    cap, rate, begun = lives.cap[chosen], lives.cycles_per_day[chosen], used[chosen]
    until = begun[:, None] + rate[:, None] * days
    at = odds(quantiles, cap, begun, until)
    losses = costs.losses(at)
    more = costs.unplanned - costs.planned
    days_to_q05 = np.where(quantiles[0] < cap, (quantiles[0] - begun) / rate, np.inf)
    return Prospects(at, losses[:, :-1], more * at.fails[:, -1], LEAST_SAVING * more, days_to_q05, days)


def best(prospects: Prospects, slots: Places) -> Places:
    """The weeks that lose least in all."""
    savings = prospects.losses_if_left[:, None] - prospects.losses
    return assign(np.where(savings >= prospects.least_saving, savings, 0.0), slots)


def repair_at_q05(prospects: Prospects, slots: Places) -> Places:
    """Each in the last week that begins before its lower quantile is used up, or else in the next one with a slot.

    Those that are due first choose first.
    """
    weeks, free = np.full(len(prospects.losses), LEFT), slots.copy()
    due, days = prospects.days_to_q05, prospects.days
    targets = np.maximum(np.searchsorted(days[:-1], due, side="right") - 1, 0)
    for place in np.argsort(due, kind="stable").tolist():
        if due[place] >= days[-1]:
            break
        later = np.flatnonzero(free[targets[place] :])
        if len(later):
            weeks[place] = targets[place] + later[0]
            free[weeks[place]] -= 1
    return weeks


def run_to_failure(prospects: Prospects, slots: Places) -> Places:
    """No engine comes off before it fails."""
    return np.full(len(prospects.losses), LEFT)


POLICIES: Mapping[Policy, Assign] = {
    Policy.PLAN: best,
    Policy.REPAIR_AT_Q05: repair_at_q05,
    Policy.RUN_TO_FAILURE: run_to_failure,
}


def total_of(prospects: Prospects, weeks: Places) -> Total:
    """What removals in these weeks come to."""
    planned = np.flatnonzero(weeks != LEFT)
    left = np.flatnonzero(weeks == LEFT)
    fails, wasted = prospects.at
    return Total(
        len(planned),
        float(fails[planned, weeks[planned]].sum() + fails[left, -1].sum()),
        float(wasted[planned, weeks[planned]].sum()),
        float(prospects.losses[planned, weeks[planned]].sum() + prospects.losses_if_left[left].sum()),
    )


def _used(lives: Lives, now: datetime) -> tuple[Floats, list[Doubt | None]]:
    """The cycles that each has used up since its prediction, a silent one flying on; and why nobody can tell."""
    silent_days = np.maximum(0.0, (_us(now) - lives.counted_from_us) / _US_PER_DAY)
    used = lives.flown_cycles + silent_days * lives.cycles_per_day
    reasons = (
        (Doubt.NOT_INSTALLED, ~lives.is_installed),
        (Doubt.NO_PREDICTION, np.isnan(lives.cap)),
        (Doubt.NO_UTILISATION, np.isnan(lives.cycles_per_day)),
        (Doubt.AT_CAP, used >= lives.cap),
    )
    doubts: list[Doubt | None] = [None] * len(used)
    for reason, holds in reversed(reasons):
        for place in np.flatnonzero(holds).tolist():
            doubts[place] = reason
    return used, doubts


def _days_from(now: datetime, instants: Sequence[datetime]) -> Floats:
    return np.array([(instant - now) / timedelta(days=1) for instant in instants])


def _us(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
