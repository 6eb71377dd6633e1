"""How far an engine's median has fallen while it flew some cycles; flying alone takes one cycle for each."""

from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from math import ceil
from typing import NamedTuple

LEAST_PART = 0.75
"""Of the cycles over which a fall is wanted: with fewer flown between two predictions, nothing is said."""


class Median(NamedTuple):
    """What one prediction says.

    Attributes:
        of: whose life by whose eyes: those of another installation or model are not compared with it.
        cycle: after which it was made.
        rul_cycles: the median, no less than 0 and no more than the model's cap.
    """

    of: tuple[Hashable, ...]
    cycle: int
    rul_cycles: float
    at_cap: bool

    @classmethod
    def said(cls, of: tuple[Hashable, ...], cycle: int, q50: float, cap: float) -> "Median":
        """A predicted median, with the cap of the model."""
        return cls(of, cycle, min(max(q50, 0.0), cap), q50 >= cap)


class Fall(NamedTuple):
    """How far a median fell while so many cycles were flown; ``at_least`` where it began at the model's cap."""

    fell_cycles: float
    flown_cycles: int
    at_least: bool = False

    @property
    def per_cycle(self) -> float:
        """Cycles of remaining life for each that was flown."""
        return self.fell_cycles / self.flown_cycles


def least_flown(over_cycles: int) -> int:
    """How many cycles must have been flown for anything to be said of a fall over so many.

    >>> least_flown(20), least_flown(2)
    (15, 2)
    """
    return ceil(over_cycles * LEAST_PART)


def falls(medians: Iterable[Median], over_cycles: int) -> Iterator[Fall | None]:
    """How far each median fell since the earliest one of the last so many cycles; None where too few are known.

    Args:
        medians: of one engine, in the order of its cycles.
        over_cycles: how far to look back.

    >>> lives = [Median(("e",), cycle, rul, at_cap=rul == 125) for cycle, rul in ((1, 125), (4, 119), (5, 113))]
    >>> list(falls(lives, 4))
    [None, Fall(fell_cycles=6, flown_cycles=3, at_least=True), Fall(fell_cycles=12, flown_cycles=4, at_least=True)]
    """
    window: deque[Median] = deque()
    for median in medians:
        if window and (window[-1].of != median.of or window[-1].cycle > median.cycle):
            window.clear()
        window.append(median)
        while window[0].cycle < median.cycle - over_cycles:
            window.popleft()
        flown = median.cycle - window[0].cycle
        if flown < least_flown(over_cycles):
            yield None
        else:
            yield Fall(window[0].rul_cycles - median.rul_cycles, flown, window[0].at_cap)
