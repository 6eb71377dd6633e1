"""What planning by expected loss is worth in money, on simulated fleets whose failures are known.

Method: engines of all four types hang at positions, each flown at a rate of its own, 0.5 to 3 cycles a day; at the
beginning they are of any age. Every Monday each engine's latest prediction, by the released model through the agent's
predictor, goes to the policy; what it wants for this week is carried out, what it wants later is asked anew a week
later. An engine that fails costs an unplanned removal, takes none of the shop's places, and is replaced by the next
Monday; after every removal the next engine of that position begins at cycle 1. All policies meet the same engines. The
first half year is not counted, so that the beginning does not matter.

*Money* is what removals cost per 1,000 cycles flown, in units of a planned removal. That of perfect foresight, every
engine taken off at the very end of its life, is the least there can be. What a wasted cycle costs is for the plan to
know: a planned removal divided by the mean life; in the sum it is not counted, it shows by itself, as more removals.

    python -m benchmarks.planner --seeds 5 --positions 100 --years 3
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from rich.console import Console
from rich.progress import track

from aggregator.fleet.lives import Lives
from aggregator.fleet.planning import DAYS_PER_WEEK, POLICIES, Costs, Policy, Prospects, prospects_of
from shared.cmapss import CHANNELS, SUBSETS
from shared.predictor import Predictor, find_bundle, load_bundle
from shared.rows import SensorRow
from simulators.engine_model import SimulatedEngine

CYCLES_PER_DAY = 0.5, 3.0
WEEKS_PLANNED = 8
WEEKS_BEFORE = 26
WEEKS_PER_YEAR = 52
RATIOS = (2.0, 5.0, 10.0)
# Of the removals that the fleet needs in a week, were all engines flown to their end.
CAPACITIES = {"short": 0.8, "enough": 1.2, "ample": 2.0}
AT = datetime(2026, 1, 5, tzinfo=UTC)
LINE = "{:<10} {:>6} {:<16} {:>16} {:>14} {:>14} {:>14}"

QUANTILES = 3
NONE_YET = (np.nan,) * QUANTILES


class Engines:
    """The engines of a fleet with what is predicted of them, each simulated and predicted once."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._predictor: Predictor = load_bundle(find_bundle("turbofan"))
        self._known: dict[tuple[int, int], np.ndarray] = {}
        self.cap_cycles = self._predictor.manifest.cap_cycles

    def life(self, position: int, number: int) -> np.ndarray:
        """q05, q50 and q95 after each cycle of one engine, shape (cycles, 3); as long as it lasts."""
        key = position, number
        if key not in self._known:
            subset = SUBSETS[position % len(SUBSETS)]
            engine = SimulatedEngine(f"P{position}-{number}", self._seed, subset=subset)
            self._known[key] = np.array(list(self._predicted(engine)))
        return self._known[key]

    def _predicted(self, engine: SimulatedEngine) -> Iterator[tuple[float, ...]]:
        state, latest = self._predictor.new_state(), NONE_YET
        for row in engine.rows():
            channels = dict(zip(CHANNELS, row.values, strict=True))
            sensed = SensorRow(engine=engine.serial, cycle=row.cycle, observed_at=AT, channels=channels, raw=b"")
            outcome = self._predictor.step(state, sensed).outcome
            if outcome is not None:
                rul = outcome.rul_cycles
                latest = rul.q05, rul.q50, rul.q95
            yield latest


@dataclass
class Sums:
    """What was counted."""

    cycles: float = 0.0
    planned: int = 0
    unplanned: int = 0
    wasted_cycles: float = 0.0

    def figures(self, ratio: float) -> dict[str, float]:
        """Money and its causes; a ratio is what an unplanned removal costs, in planned ones."""
        per_cycles = 1000 / self.cycles
        return {
            "money": per_cycles * (self.planned + ratio * self.unplanned),
            "unplanned": per_cycles * self.unplanned,
            "planned": per_cycles * self.planned,
            "wasted_cycles": self.wasted_cycles / max(self.planned, 1),
        }


class Fleet:
    """One fleet over the years, under one policy."""

    def __init__(self, engines: Engines, positions: int, seed: int) -> None:
        generator = np.random.default_rng([seed, positions])
        self._engines = engines
        self.cycles_per_day = generator.uniform(*CYCLES_PER_DAY, positions)
        self._number = np.zeros(positions, np.int64)
        self._length = np.array([len(engines.life(place, 0)) for place in range(positions)])
        self._age = generator.uniform(0, 1, positions) * self._length

    def fly(self, policy: Policy, costs: Costs, capacity_per_week: int, weeks: int) -> Sums:
        """Fly for some weeks, and count all but the first half year."""
        sums = Sums()
        slots = np.full(WEEKS_PLANNED, capacity_per_week)
        for week in range(weeks):
            counted = sums if week >= WEEKS_BEFORE else Sums()
            chosen = POLICIES[policy](self._prospects(costs), slots)
            for place in np.flatnonzero(chosen == 0).tolist():
                counted.planned += 1
                counted.wasted_cycles += self._length[place] - self._age[place]
                self._replace(place)
            after = self._age + self.cycles_per_day * DAYS_PER_WEEK
            counted.cycles += float((np.minimum(after, self._length) - self._age).sum())
            self._age = after
            for place in np.flatnonzero(after >= self._length).tolist():
                counted.unplanned += 1
                self._replace(place)
        return sums

    def _replace(self, place: int) -> None:
        self._number[place] += 1
        self._age[place] = 0.0
        self._length[place] = len(self._engines.life(place, int(self._number[place])))

    def _prospects(self, costs: Costs) -> Prospects:
        positions = len(self._age)
        flown = np.floor(self._age).astype(int)
        latest = np.array(
            [
                self._engines.life(place, int(self._number[place]))[cycles - 1] if cycles else NONE_YET
                for place, cycles in enumerate(flown.tolist())
            ]
        )
        lives = Lives(
            list(range(positions)),
            [f"P{place}" for place in range(positions)],
            (latest[:, 0], latest[:, 1], latest[:, 2]),
            np.full(positions, self._engines.cap_cycles),
            self.cycles_per_day,
            np.zeros(positions),
            np.zeros(positions, np.int64),
            np.ones(positions, np.bool_),
        )
        # What has no prediction yet is new, and looks as new engines do.
        for quantile in lives.quantiles:
            quantile[np.isnan(quantile)] = self._engines.cap_cycles
        days = np.arange(WEEKS_PLANNED + 1) * float(DAYS_PER_WEEK)
        return prospects_of(lives, np.arange(positions), self._age - flown, days, costs)


def mean_life(engines: Engines, positions: int) -> float:
    """In cycles, of the first engines of a fleet."""
    return float(np.mean([len(engines.life(place, 0)) for place in range(positions)]))


def run(seed: int, positions: int, years: int) -> dict[str, dict[str, float]]:
    """One fleet under every policy, capacity and ratio of costs."""
    engines = Engines(seed)
    life = mean_life(engines, positions)
    weeks = WEEKS_BEFORE + WEEKS_PER_YEAR * years
    found = {"life": {"cycles": life, "perfect": 1000 / life}}
    for name, share in CAPACITIES.items():
        for policy in Policy:
            # Whoever knows no costs does the same whatever they are.
            sums = Sums()
            for ratio in RATIOS:
                if policy is Policy.PLAN or not sums.cycles:
                    fleet = Fleet(engines, positions, seed)
                    needed = fleet.cycles_per_day.sum() * DAYS_PER_WEEK / life
                    costs = Costs(unplanned=ratio, planned=1.0, wasted_cycle=1 / life)
                    sums = fleet.fly(policy, costs, max(1, round(share * needed)), weeks)
                found[f"{name}|{ratio:g}|{policy}"] = sums.figures(ratio)
    return found


def summarise(runs: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over the seeds of each figure."""
    return {
        case: {
            figure: (float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0)
            for figure in runs[0][case]
            if (values := [one[case][figure] for one in runs])
        }
        for case in runs[0]
    }


def table(found: Mapping[str, Mapping[str, tuple[float, float]]]) -> str:
    """As people read it."""
    life = found["life"]
    lines = [f"mean life {life['cycles'][0]:.0f} cycles; money by perfect foresight {life['perfect'][0]:.2f}"]
    lines.append(LINE.format("capacity", "ratio", "policy", "money", "unplanned", "planned", "wasted cycles"))
    for case, figures in found.items():
        if case != "life":
            shown = [f"{mean:.2f} ± {sd:.2f}" for mean, sd in (figures[one] for one in FIGURES)]
            lines.append(LINE.format(*case.split("|"), *shown))
    return "\n".join(lines)


FIGURES = ("money", "unplanned", "planned", "wasted_cycles")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="fleets (default 5)")
    parser.add_argument("--positions", type=int, default=100, help="engines at a time (default 100)")
    parser.add_argument("--years", type=int, default=3, help="that are counted (default 3)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    seeds = track(range(arguments.seeds), "fleets", console=Console(file=sys.stderr), transient=True)
    found = summarise([run(seed, arguments.positions, arguments.years) for seed in seeds])
    print(json.dumps(found) if arguments.json else table(found))


if __name__ == "__main__":
    main()
