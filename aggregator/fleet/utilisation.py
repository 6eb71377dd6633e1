"""Utilisation: how many cycles an engine flies per day, measured over its last weeks or entered by a person."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

WINDOW = timedelta(days=28)
SHORTEST = timedelta(days=1)  # less than a day says nothing of the nights
APART = timedelta(days=4)  # few marks, because they are stored again with every row

Mark = tuple[int, int]
"""When a row was observed, in whole seconds since 1970, and its cycle."""


class Utilisation(NamedTuple):
    """Cycles per day, and whether they were measured or entered."""

    cycles_per_day: float
    source: Literal["measured", "entered"]


def remember(marks: Sequence[Mark], observed_at: datetime, cycle: int) -> list[Mark]:
    """Marks with one row more: some of the last weeks, oldest first.

    Marks that the row contradicts, because a clock was set back or the counter fell, are forgotten; so are those that
    have become too old.

    >>> remember([(0, 1)], datetime.fromisoformat("1970-01-05T00:00Z"), 17)
    [(0, 1), (345600, 17)]
    """
    at = int(observed_at.timestamp())
    kept = [(then, at_cycle) for then, at_cycle in marks if at - WINDOW.total_seconds() <= then < at]
    kept = [mark for mark in kept if mark[1] < cycle]
    if not kept or at - kept[-1][0] >= APART.total_seconds():
        kept.append((at, cycle))
    return kept


def measure(marks: Sequence[Mark], observed_at: datetime, cycle: int) -> float | None:
    """Cycles per day from the oldest mark to the latest row; None where that is less than a day.

    >>> measure([(0, 1)], datetime.fromisoformat("1970-01-03T00:00Z"), 9)
    4.0
    """
    if not marks:
        return None
    began, first_cycle = marks[0]
    days = (observed_at.timestamp() - began) / 86_400
    return (cycle - first_cycle) / days if days >= SHORTEST.days and cycle > first_cycle else None
