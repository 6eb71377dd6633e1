"""How often the rule for fast decline raises an alarm on healthy engines, and how many it finds that wear faster.

Method: whole lives through the released model as the agent runs it, and the default rule over the medians. *train* are
C-MAPSS training engines, from which the model has learnt; *late* the first 40 of each file from a third of their life
on, with an age that nobody knows; *simulated* engines of the engine model. *wear N* are the simulated ones of 140
cycles or more, of whose last 120 cycles only each N-th is flown: counted is what is raised from there on, and how many
cycles after it began.

    python -m benchmarks.declines --data FOLDER --engines 60
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aggregator.fleet.alarms import follow
from aggregator.fleet.conditions import FastDecline
from aggregator.fleet.decline import Median, falls
from models.reading import read_lives
from models.stepping import steps
from shared.cmapss import SUBSETS
from shared.predictor import Predictor, find_bundle, load_bundle
from simulators.engine_model import SimulatedEngine

LATE = 40
FAST_CYCLES = 120
LONG_CYCLES = 140
LINE = "{:<10} {:>7} {:>7} {:>13}"


class _Life(NamedTuple):
    """What one engine flies; ``begins`` after how many cycles it wears faster."""

    group: str
    cycles: NDArray[np.int64]
    values: NDArray[np.float64]
    age_known: bool = True
    begins: int = 0


def main() -> None:
    """Fly all engines and print a line per group."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.declines")
    parser.add_argument("--data", type=Path, required=True, help="folder with train_FD001.txt.gz and so on")
    parser.add_argument("--engines", type=int, default=60, help="simulated engines of each type")
    options = parser.parse_args()
    predictor, rule = load_bundle(find_bundle("turbofan")), FastDecline()
    flown: dict[str, int] = defaultdict(int)
    found: dict[str, list[int]] = defaultdict(list)
    for life in _lives(options.data, options.engines):
        flown[life.group] += 1
        found[life.group] += _raised(predictor, rule, life)[:1]
    print(LINE.format("engines", "flown", "raised", "median after"))
    for group, count in flown.items():
        after = f"{median(found[group]):.0f} cycles" if group.startswith("wear") and found[group] else ""
        print(LINE.format(group, count, len(found[group]), after))


def _lives(data: Path, engines: int) -> Iterator[_Life]:
    for subset in SUBSETS:
        trained = read_lives(data / f"train_{subset}.txt.gz")
        for life in trained:
            yield _Life("train", life.cycles, life.values)
        for life in trained[:LATE]:
            begin = len(life.cycles) // 3
            yield _Life("late", life.cycles[begin:], life.values[begin:], age_known=False)
        for seed in range(engines):
            values = np.array([row.values for row in SimulatedEngine(f"E-{seed}", seed, subset=subset).rows()])
            yield _Life("simulated", _cycles(values), values)
            if len(values) >= LONG_CYCLES:
                begins = len(values) - FAST_CYCLES
                for times in (2, 3, 4):
                    worn = np.concatenate([values[:begins], values[begins::times]])
                    yield _Life(f"wear {times}", _cycles(worn), worn, begins=begins)


def _cycles(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.arange(1, len(values) + 1)


def _raised(predictor: Predictor, rule: FastDecline, life: _Life) -> list[int]:
    """After how many cycles of faster wear an alarm was raised, each."""
    medians = [
        Median.said((), cycle, step.outcome.rul_cycles.q50, predictor.manifest.cap_cycles)
        for cycle, step in zip(
            life.cycles.tolist(),
            steps(predictor, life.cycles, life.values, age_known=life.age_known),
            strict=True,
        )
        if step.outcome is not None
    ]
    verdicts = [rule.judge(fall) for fall in falls(medians, rule.over_cycles)]
    turns = follow(verdicts, rule.in_a_row, is_active=False, streak=0).turns
    cycles = [medians[turn.place].cycle for turn in turns if turn.is_active]
    return [cycle - life.begins for cycle in cycles if cycle > life.begins]


if __name__ == "__main__":
    main()
