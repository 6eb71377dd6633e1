"""Due dates: when an engine's useful life ends, from its remaining cycles and its utilisation, and how surely."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from aggregator.fleet.liveness import LinkState, Signs, state_of
from aggregator.fleet.rul import Rul
from aggregator.fleet.utilisation import Utilisation

MOST_CAUTIOUS, LEAST_CAUTIOUS = 0.95, 0.05
FARTHEST_DAYS = 36_500.0  # a date that no calendar has helps nobody

Cycles = TypeVar("Cycles", float, NDArray[np.float64])


class Verdict(StrEnum):
    """Whether an engine is due before a date; ``undetermined`` where nobody can tell."""

    DUE = "due"
    NOT_DUE = "not_due"
    UNDETERMINED = "undetermined"


class Doubt(StrEnum):
    """Why nobody can tell: no prediction or utilisation, installed nowhere, or a life beyond what the model tells."""

    NO_PREDICTION = "no_prediction"
    NO_UTILISATION = "no_utilisation"
    NOT_INSTALLED = "not_installed"
    AT_CAP = "at_cap"


class Life(NamedTuple):
    """What is known of how long an engine lasts.

    Attributes:
        rul: its latest prediction.
        utilisation: how fast it uses its cycles up.
        flown_cycles: those since that prediction.
        counted_from: until when it is known to have flown no further one.
        is_installed: whether it hangs anywhere; one that does not uses nothing up.
    """

    rul: Rul | None
    utilisation: Utilisation | None
    flown_cycles: int
    counted_from: datetime
    is_installed: bool = True


def life_of(
    rul: Rul | None,
    utilisation: Utilisation | None,
    flown_cycles: int,
    observed_at: datetime | None,
    signs: Signs | None,
    now: datetime,
) -> Life:
    """What is known of a life; an engine that is heard from has flown nothing since its latest row.

    Args:
        rul: its latest prediction.
        utilisation: how fast it uses its cycles up.
        flown_cycles: those since that prediction.
        observed_at: when its latest row was.
        signs: what was heard from its gateway; None if it is installed at none.
        now: the time.
    """
    online = state_of(signs, now) is LinkState.ONLINE
    counted_from = now if online or observed_at is None else observed_at
    return Life(rul, utilisation, flown_cycles, counted_from, is_installed=signs is not None)


class DueDate(NamedTuple):
    """When a life ends.

    Attributes:
        at: the instant; a century ahead where it would be later.
        cycles: what is left until then.
        not_before: true where the cycles are at the model's cap: it ends no sooner, and nobody knows when.
    """

    at: datetime
    cycles: float
    not_before: bool


class Judgement(NamedTuple):
    """A verdict with the due date it rests on, or with the reason why there is none."""

    verdict: Verdict
    due: DueDate | None = None
    doubt: Doubt | None = None


def cycles_at(rul: Rul, confidence: float) -> float:
    """How many cycles an engine lasts with this probability, linear between the three stated quantiles.

    Raises:
        ValueError: the confidence is outside of what the quantiles state, 0.05 to 0.95.

    >>> rul = Rul(mean=50, q05=30, q50=50, q95=80, cap=125)
    >>> [round(cycles_at(rul, confidence), 6) for confidence in (0.95, 0.9, 0.5, 0.05)]
    [30.0, 32.222222, 50.0, 80.0]
    """
    return between(rul.q05, rul.q50, rul.q95, confidence)


def between(q05: Cycles, q50: Cycles, q95: Cycles, confidence: float) -> Cycles:
    """As ``cycles_at``, of quantiles of one engine or of many."""
    if not LEAST_CAUTIOUS <= confidence <= MOST_CAUTIOUS:
        raise ValueError(f"a confidence of {confidence} is not from {LEAST_CAUTIOUS} to {MOST_CAUTIOUS}")
    share = (MOST_CAUTIOUS - confidence) / (0.5 - LEAST_CAUTIOUS)
    if share <= 1:
        return q05 + share * (q50 - q05)
    return q50 + (share - 1) * (q95 - q50)


def due_date(life: Life, confidence: float) -> DueDate | None:
    """When the life of an engine ends that lasts until then with this confidence, 0.05 to 0.95; None if nobody knows.

    A life that is over is over at any rate of use; of one at the cap that is used up, nobody knows how much is left.
    """
    if life.rul is None or not life.is_installed:
        return None
    quantile = cycles_at(life.rul, confidence)
    cycles = max(0.0, life.rul.clipped(quantile) - life.flown_cycles)
    if cycles == 0:
        return DueDate(life.counted_from, 0.0, life.rul.at_cap(quantile))
    if life.utilisation is None:
        return None
    days = min(cycles / life.utilisation.cycles_per_day, FARTHEST_DAYS)
    return DueDate(life.counted_from + timedelta(days=days), cycles, life.rul.at_cap(quantile))


def judge(life: Life, confidence: float, before: datetime) -> Judgement:
    """Whether an engine is due before a date, if it is to last until it is due with this confidence."""
    due = due_date(life, confidence)
    if due is None:
        return Judgement(Verdict.UNDETERMINED, doubt=_why_undated(life))
    if due.at >= before:
        return Judgement(Verdict.NOT_DUE, due)
    if due.not_before:
        return Judgement(Verdict.UNDETERMINED, due, Doubt.AT_CAP)
    return Judgement(Verdict.DUE, due)


def _why_undated(life: Life) -> Doubt:
    if not life.is_installed:
        return Doubt.NOT_INSTALLED
    return Doubt.NO_PREDICTION if life.rul is None else Doubt.NO_UTILISATION
