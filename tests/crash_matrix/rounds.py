"""Plays rounds: strike while rows flow, mend, let it drain, judge."""

import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import func, select, table
from sqlalchemy.exc import SQLAlchemyError

from tests.crash_matrix.faults import FAULTS, Fault
from tests.crash_matrix.ledger import dropped_records, read_streams, told_records
from tests.crash_matrix.plant import Plant
from tests.crash_matrix.verdict import MEASURED_TABLES, Allowance, Judge, Verdict

SECOND_FAULT = 0.4


@dataclass(frozen=True, slots=True)
class Round:
    """One round that was played.

    Attributes:
        number: from 1.
        faults: what struck.
        rows: how many rows were emitted in it.
        seconds: how long it took.
        dropped: records that gateways dropped by policy in it.
        restarts: programs that ended by themselves and were started again.
        verdict: what the store looked like after it, over all rounds so far.
    """

    number: int
    faults: list[str]
    rows: int
    seconds: float
    dropped: int
    restarts: int
    verdict: Verdict


class Schedule:
    """Which faults strike in which round: every kind once before any comes again, in an order of the seed's.

    Args:
        kinds: the faults to choose from.
        seed: the same seed gives the same rounds.
    """

    def __init__(self, kinds: Sequence[Fault], seed: int) -> None:
        self._kinds, self._chance = list(kinds), random.Random(f"schedule {seed}")
        self._deck: list[Fault] = []

    def deal(self) -> list[Fault]:
        """The faults of the next round: one, or two that take hold of different parts."""
        first = self._draw()
        fitting = [kind for kind in self._kinds if not kind.touches & first.touches]
        if fitting and self._chance.random() < SECOND_FAULT:
            return [first, self._chance.choice(fitting)]
        return [first]

    def _draw(self) -> Fault:
        if not self._deck:
            self._deck = self._chance.sample(self._kinds, k=len(self._kinds))
        return self._deck.pop()


def choose(plant: Plant, names: Sequence[str]) -> list[Fault]:
    """The faults of these names, or all, that can happen to a plant."""
    return [kind for name, kind in FAULTS.items() if (not names or name in names) and kind.fits(plant)]


def play(plant: Plant, schedule: Schedule, rounds: int, seed: int, drain_s: float) -> Iterator[Round]:
    """Play rounds until one fails."""
    allowances = {name: Allowance() for name in plant.gateways}
    judge = Judge(plant.feed.truth, {name: one.serials for name, one in plant.gateways.items()}, allowances)
    struck: Counter[str] = Counter()
    dropped = 0
    for number in range(1, rounds + 1):
        began_s, emitted, restarts = time.monotonic(), len(plant.feed.truth), plant.restarts
        faults = schedule.deal()
        struck.update(kind.name for kind in faults)
        chances = [random.Random(f"{seed} {kind.name} {struck[kind.name]}") for kind in faults]
        _disturb(plant, faults, chances, random.Random(f"{seed} round {number}"))
        _allow(plant, allowances, emitted)
        if number == rounds or plant.restored:
            judge.start_over()
            plant.restored = False
        verdict = _settle(plant, judge, drain_s)
        one = Round(
            number=number,
            faults=[kind.name for kind in faults],
            rows=len(plant.feed.truth) - emitted,
            seconds=time.monotonic() - began_s,
            dropped=verdict.dropped - dropped,
            restarts=plant.restarts - restarts,
            verdict=verdict,
        )
        verdict.wrong += _out_of_turn(one, faults)
        yield one
        dropped = verdict.dropped
        if not verdict.good:
            return


def _disturb(plant: Plant, faults: Sequence[Fault], chances: Sequence[random.Random], of_round: random.Random) -> None:
    """Let the engines emit, and each fault begin, last and end while they do."""
    plant.feed.turn(on=True)
    time.sleep(of_round.uniform(0.2, 0.8))
    with ExitStack() as lasting:
        for kind, chance in zip(faults, chances, strict=True):
            lasting.enter_context(kind.strikes(plant, chance))
            time.sleep(chance.uniform(0.2, 1.5))
    time.sleep(of_round.uniform(0.2, 0.6))
    plant.feed.turn(on=False)


def _allow(plant: Plant, allowances: Mapping[str, Allowance], emitted: int) -> None:
    """Let a gateway that was cloned in this round repeat what it had to say in it, once as either of the two.

    Args:
        plant: what runs.
        allowances: what grows.
        emitted: how many rows there were before this round.
    """
    serials = Counter(serial for serial, _ in islice(plant.feed.truth, emitted, None))
    for name, gateway in plant.gateways.items():
        if gateway.clones > allowances[name].clones:
            allowances[name].clones = gateway.clones
            rows = sum(serials[serial] for serial in gateway.serials)
            allowances[name].records += 2 * len(MEASURED_TABLES) * rows


def _out_of_turn(one: Round, faults: Sequence[Fault]) -> Iterator[str]:
    """What only some faults explain."""
    if one.dropped and not any(kind.fills_disks for kind in faults):
        yield f"{one.dropped} records were dropped although no disk was full"
    if one.restarts and not any(kind.ends_programs for kind in faults):
        yield f"{one.restarts} programs ended by themselves"


def _settle(plant: Plant, judge: Judge, drain_s: float) -> Verdict:
    """Wait until everything has arrived and nothing waits any more, at most so long, and judge."""
    until = time.monotonic() + drain_s
    while time.monotonic() < until:
        plant.supervise()
        if not any(_waiting(plant)) and _arrived(plant):
            break
        time.sleep(0.2)
    waiting = list(_waiting(plant))
    with plant.database.read() as connection:
        verdict = judge.judge(connection)
    verdict.wrong += waiting
    return verdict


def _waiting(plant: Plant) -> Iterator[str]:
    """Which gateways keep something that the centre should have answered by now."""
    for gateway in plant.gateways.values():
        unacked = gateway.unacked()
        if unacked != 0:
            yield f"{gateway.name}: {'?' if unacked is None else unacked} records still wait for an answer"


def _arrived(plant: Plant) -> bool:
    """Whether the store has, or was told of the end of, as many records as are due."""
    due = len(MEASURED_TABLES) * len(plant.feed.truth)
    try:
        with plant.database.read() as connection:
            here = sum(
                connection.scalar(select(func.count()).select_from(table(name))) or 0 for name in MEASURED_TABLES
            )
            if here >= due:
                return True
            # What gap records tell of is quickly read, but may have arrived before.
            told = told_records(connection)
            return here + told >= due and here + dropped_records(read_streams(connection)) >= due
    except SQLAlchemyError:
        return False
