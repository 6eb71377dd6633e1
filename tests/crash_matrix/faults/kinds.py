"""What every fault has in common, and the list of them all."""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from tests.crash_matrix.database import Postgresql
from tests.crash_matrix.plant import Plant

Strike = Callable[[Plant, random.Random], Iterator[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Attributes:
        name: what it is called on the command line.
        strikes: makes the context in which it lasts; all its choices come from the generator.
        touches: the parts it takes hold of; faults of one round share none.
        postgresql_only: whether SQLite has nothing that could fail so.
        fills_disks: whether a gateway may drop records in it.
        ends_programs: whether programs may end by themselves in it, to be started again as systemd does.
    """

    name: str
    strikes: Callable[[Plant, random.Random], AbstractContextManager[None]]
    touches: frozenset[str]
    postgresql_only: bool = False
    fills_disks: bool = False
    ends_programs: bool = False

    def fits(self, plant: Plant) -> bool:
        """Whether it can happen to this plant."""
        return not self.postgresql_only or isinstance(plant.database, Postgresql)


FAULTS: dict[str, Fault] = {}


def fault(name: str, *touches: str, **traits: bool) -> Callable[[Strike], Strike]:
    """Enter a generator function, which yields while the fault lasts, into the list of faults."""

    def enter(strike: Strike) -> Strike:
        FAULTS[name] = Fault(name, contextmanager(strike), frozenset(touches), **traits)
        return strike

    return enter
