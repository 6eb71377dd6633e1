"""Which cycles belong to a life whose end is known, and how many were left at each."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from aggregator.fleet.ages import Age, Stay, ages_of


class Hung(NamedTuple):
    """An installation of an engine.

    Attributes:
        installation_cycle: the engine's age when it was hung there; None where nobody knows.
        last_cycle: of the rows that there are of it, 0 without any.
    """

    installation_id: str
    installed_from: datetime
    installation_cycle: int | None
    last_cycle: int


class Boundary(NamedTuple):
    """Where an earlier life of the engine ended: by an overhaul, after which it was as new, or by a failure.

    ``installation_id`` and ``after_cycle`` are None where it hung nowhere, or came off by that.
    """

    at: datetime
    is_overhaul: bool
    installation_id: str | None = None
    after_cycle: int | None = None


class Stretch(NamedTuple):
    """Part of a life in one installation: the source's cycles above ``after_cycle``, up to ``until_cycle`` if any.

    At cycle c so many were left as ``ends_at`` is above it.
    """

    installation_id: str
    after_cycle: int
    until_cycle: int | None
    ends_at: int


def stretches_of(stays: Sequence[Hung], boundary: Boundary | None, cycle: int) -> list[Stretch]:
    """The parts of a life that ended after this cycle of its last stay, in the order of time; none of an empty one.

    What an engine flew between two stays is known only where its age at both is. Where it came back younger, a life
    of whose end nobody has told ended before.

    Args:
        stays: the installations of the engine until then, in the order of time, at least one.
        boundary: where the life before this one ended, if there was one.
        cycle: the source's cycle after which it ended.

    >>> then = datetime(2026, 11, 22)
    >>> for one in stretches_of([Hung("a", then, None, 150), Hung("b", then, None, 70)], None, 60):
    ...     print(*one)
    a 0 None 210
    b 0 60 60
    """
    of_life = stays[_begin(stays, boundary) :]
    if not of_life:
        return []
    in_first = boundary is not None and boundary.installation_id == of_life[0].installation_id
    begun_after = boundary.after_cycle or 0 if boundary is not None and in_first else 0
    ages = _ages(of_life, boundary, begun_after if in_first else None)
    found = [Stretch(of_life[-1].installation_id, 0, cycle, cycle)]
    for place in range(len(of_life) - 2, -1, -1):
        flown = _flown_between(ages[place], of_life[place], ages[place + 1])
        if flown < 0:
            return found
        ends_at = of_life[place].last_cycle + flown + found[0].ends_at
        found.insert(0, Stretch(of_life[place].installation_id, 0, None, ends_at))
    found[0] = found[0]._replace(after_cycle=begun_after)
    return found


def _begin(stays: Sequence[Hung], boundary: Boundary | None) -> int:
    """The place of the stay that a life began in."""
    if boundary is None:
        return 0
    for place, stay in enumerate(stays):
        is_later = stay.installed_from >= boundary.at
        if stay.installation_id == boundary.installation_id or is_later:
            return place
    return len(stays)


def _ages(stays: Sequence[Hung], boundary: Boundary | None, begun_after: int | None) -> list[Age]:
    """The ages in the stays of a life, which began in the first after this cycle; None where before it."""
    is_new = boundary is not None and boundary.is_overhaul
    told = [Stay(stay.installation_cycle, stay.last_cycle) for stay in stays]
    if is_new:
        first = stays[0]
        told[0] = Stay(first.installation_cycle, first.last_cycle, begun_after is None, begun_after)
    return ages_of(told)


def _flown_between(before: Age, stay: Hung, then: Age) -> int:
    """Cycles that the engine flew elsewhere between two stays; below 0 if it came back younger."""
    return then.start - before.at(stay.last_cycle) if before.known and then.known else 0
