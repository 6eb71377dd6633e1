"""How old an engine is in each of its installations, told from what people entered and from the cycles it flew."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.messages import CYCLE_MAX


@dataclass(frozen=True, slots=True)
class Stay:
    """One installation of an engine.

    Attributes:
        installation_cycle: the engine's age when it was hung there, as somebody entered it; None where nobody did.
        last_cycle: of the rows that there are of it, 0 without any.
        overhauled_before: whether it was overhauled after its last stay elsewhere and before this one.
        overhauled_after_cycle: the source's cycle after which it was last overhauled while it hung there, if it was.
    """

    installation_cycle: int | None = None
    last_cycle: int = 0
    overhauled_before: bool = False
    overhauled_after_cycle: int | None = None


@dataclass(frozen=True, slots=True)
class Age:
    """How the cycles of a stay are counted.

    Attributes:
        start: the engine's age when its source's counter stood at ``counted_from``, or, where nobody knows the age, how
            many cycles of it are known until then.
        counted_from: rows up to this cycle are from before the last overhaul.
        known: whether ``start`` is its age.
        begins: whether there is nothing before this stay that still counts: the engine was new, or overhauled since.
    """

    start: int
    counted_from: int
    known: bool
    begins: bool

    def at(self, cycle: int) -> int:
        """The count at one of the source's cycles, which no message has above ``CYCLE_MAX``."""
        return min(self.start + cycle - self.counted_from, CYCLE_MAX)


def ages_of(stays: Sequence[Stay]) -> list[Age]:
    """The ages of an engine in all of its stays, which come in the order of time.

    What somebody entered holds; else an overhaul makes it new, and else its age goes on from the last stay. A stay in
    which it was overhauled counts from there.

    >>> [age.at(1) for age in ages_of([Stay(0, last_cycle=150), Stay(), Stay(overhauled_before=True)])]
    [1, 151, 1]
    >>> [(age.at(206), age.known) for age in ages_of([Stay(overhauled_after_cycle=205)])]
    [(1, True)]
    """
    ages: list[Age] = []
    end, known = 0, False
    for stay in stays:
        begins = not ages or stay.overhauled_before
        if stay.overhauled_after_cycle is not None:
            age = Age(0, stay.overhauled_after_cycle, known=True, begins=True)
        elif stay.installation_cycle is not None:
            age = Age(stay.installation_cycle, 0, known=True, begins=begins)
        elif stay.overhauled_before:
            age = Age(0, 0, known=True, begins=True)
        else:
            age = Age(end, 0, known=known, begins=begins)
        ages.append(age)
        end, known = max(age.start, age.at(stay.last_cycle)), age.known
    return ages
