"""How well drift is found on C-MAPSS training engines that its numbers were not fitted to.

Method: the folds of the model's card; specification and drift are fitted to the engines of the other folds. False
alarms are counted over the whole lives of the held-out engines. Then one channel of a held-out engine wanders off by so
many sd of its noise a cycle, or is off by so many at once: 30 rows before that, 40 after it, at a random place. A case
is *found* if its channel is flagged in any of them, *named* if that was the first channel to be flagged; *others* are
cases in which another channel is flagged in any row; *delay* counts the rows to the first flag, its median and the
90 % quantile. Engines of FD001 and FD003 fly in one operating condition, those of FD002 and FD004 in six.

    python -m benchmarks.drift --data FOLDER
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.reading import Life, read_lives
from models.training import recipe
from models.training.drift import fit_drift
from models.training.faults import noise_sd
from models.training.folds import folds
from models.training.specification import ALTITUDE, COLUMNS, FEATURE_CHANNELS, Subsets, fit_specification
from shared.cmapss import SUBSETS
from shared.drift import Drift
from shared.features import Features

WANDERS_SD, SHIFTS_SD = (0.2, 0.5, 1.0, 2.0, 5.0), (3.0, 5.0, 10.0)
ROWS_BEFORE, ROWS_AFTER, EARLIEST = 30, 40, 20
LINE = "{:<28} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6}"


class HeldOutEngine(NamedTuple):
    """An engine, and what finds drift without having seen it."""

    life: Life
    features: Features
    drift: Drift

    def found(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which channels drift after each of its rows, shape (rows, channels)."""
        smoothed = np.zeros(len(COLUMNS))
        regimes = [self.features.regime(setting) for setting in values[:, ALTITUDE].tolist()]
        rows = zip(regimes, values[:, COLUMNS], strict=True)
        return np.array([self.drift.step(smoothed, regime, row) for regime, row in rows if regime is not None])


class Case(NamedTuple):
    """What became of one drift; ``delay`` is 1 where its first row was flagged, None where none was."""

    delay: int | None
    named: bool
    others: bool


def held_out(subsets: Subsets) -> Iterator[tuple[str, HeldOutEngine]]:
    """Every engine, with its subset."""
    for fold in range(recipe.FOLDS):
        chosen = {name: folds(len(part), recipe.FOLDS, recipe.FOLD_SEED)[fold] for name, part in subsets.items()}
        rest = {name: [one for k, one in enumerate(part) if k not in chosen[name]] for name, part in subsets.items()}
        spec = fit_specification(rest, recipe.CAP_CYCLES)
        features, drift = Features(spec), Drift(spec, fit_drift(rest, spec))
        for name, places in chosen.items():
            yield from ((name, HeldOutEngine(subsets[name][place], features, drift)) for place in places)


def tell_false_alarms(name: str, engines: list[HeldOutEngine]) -> None:
    flagged = {one.life.unit: one.found(one.life.values).any(axis=1).sum() for one in engines}
    wrong = {unit: rows for unit, rows in flagged.items() if rows}
    rows = sum(len(one.life.values) for one in engines)
    print(f"{name}: {sum(wrong.values())} of {rows} rows, {len(wrong)} of {len(engines)} engines {wrong or ''}")


def drifted(engine: HeldOutEngine, size_sd: float, *, wanders: bool, generator: np.random.Generator) -> Case:
    """Let one channel of an engine drift, and see."""
    values, noise = engine.life.values, noise_sd(engine.life.values)[COLUMNS]
    channel = generator.choice(np.flatnonzero(noise > 0))
    begin = int(generator.integers(EARLIEST, len(values) - ROWS_AFTER))
    first = max(0, begin - ROWS_BEFORE)
    values, begin = values[first : begin + ROWS_AFTER].copy(), begin - first
    cycles = np.arange(1, len(values) - begin + 1) if wanders else np.ones(len(values) - begin)
    values[begin:, COLUMNS[channel]] += generator.choice([-1, 1]) * size_sd * noise[channel] * cycles
    flags = engine.found(values)[begin:]
    own, any_row = flags[:, channel], flags.any(axis=1)
    return Case(
        delay=int(own.argmax()) + 1 if own.any() else None,
        named=bool(any_row.any() and own[any_row.argmax()]),
        others=bool(np.delete(flags, channel, axis=1).any()),
    )


def tell_cases(what: str, cases: list[Case]) -> None:
    delays = [case.delay for case in cases if case.delay is not None]
    shares = [f"{np.mean(part):.1%}" for part in ([case.delay is not None for case in cases], [c.named for c in cases])]
    middle, late = np.quantile(delays, [0.5, 0.9])
    others = f"{np.mean([case.others for case in cases]):.1%}"
    print(LINE.format(what, len(cases), *shares, others, f"{middle:.0f}", f"{late:.0f}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the C-MAPSS training files")
    parser.add_argument("--cases", type=int, default=200, help="of each size and subset (default 200)")
    arguments = parser.parse_args()
    subsets = {name: read_lives(next(arguments.data.glob(f"train_{name}.txt*"))) for name in SUBSETS}
    engines: dict[str, list[HeldOutEngine]] = {name: [] for name in SUBSETS}
    for name, engine in held_out(subsets):
        engines[name].append(engine)
    print(f"false alarms, over {len(FEATURE_CHANNELS)} channels")
    for name, some in engines.items():
        tell_false_alarms(name, some)
    print("\n" + LINE.format("drift", "cases", "found", "named", "others", "delay", "90 %"))
    generator = np.random.default_rng(0)
    for sizes, wanders, what in ((WANDERS_SD, True, "{:g} sd more each cycle"), (SHIFTS_SD, False, "{:g} sd at once")):
        for size in sizes:
            for kind, names in (("one", ("FD001", "FD003")), ("six", ("FD002", "FD004"))):
                drawn = [engines[name][generator.integers(len(engines[name]))] for name in names * arguments.cases]
                cases = [drifted(one, size, wanders=wanders, generator=generator) for one in drawn]
                tell_cases(f"{what.format(size)}, {kind}", cases)


if __name__ == "__main__":
    main()
