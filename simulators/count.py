"""Counts what was emitted against what the store holds; the last step of a play, and repeatable at any time."""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from shared.errors import SpoolwatchError
from simulators.truth import TruthRow

Key = tuple[str, int]
"""Engine serial and cycle."""

_STORED = """
SELECT 'telemetry', engine.serial, cycle, count(*)
    FROM telemetry JOIN engine ON engine.id = engine_id GROUP BY 2, 3
UNION ALL
SELECT 'prediction', engine.serial, cycle, count(*)
    FROM prediction JOIN engine ON engine.id = engine_id GROUP BY 2, 3
"""
_REFUSALS = """
SELECT engine.serial, cycle, refusal
    FROM telemetry JOIN engine ON engine.id = engine_id WHERE refusal IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """How often the store holds each engine's cycle, as a sensor row and as a prediction.

    Attributes:
        refusals: why the model refused to predict from a row, by engine and cycle.
    """

    telemetry: Counter[Key] = field(default_factory=Counter)
    predictions: Counter[Key] = field(default_factory=Counter)
    refusals: dict[Key, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Count:
    """The outcome of a count.

    Attributes:
        engines: engines that emitted anything.
        predictions: predictions due, one per emitted row that the model did not refuse.
        committed: predictions in the store.
        dropped: records that a gateway dropped by policy.
        lost: rows and predictions due, not dropped and not in the store.
        duplicates: rows and predictions in the store more often than emitted.
        refused: rows in the store that say why they gave no prediction, by the reason.
    """

    engines: int
    predictions: int
    committed: int
    dropped: int
    lost: int
    duplicates: int
    refused: Counter[str]

    @property
    def complete(self) -> bool:
        """Whether the store holds exactly what was emitted, and each row its prediction or why there is none."""
        return self.predictions == self.committed and not (self.dropped or self.lost or self.duplicates)

    def __str__(self) -> str:
        return (
            f"engines {self.engines}, predictions {self.predictions}, committed {self.committed}, "
            f"dropped {self.dropped}, lost {self.lost}, duplicates {self.duplicates}"
        )


def compare(emitted: Iterable[TruthRow], stored: Stored, dropped: int) -> Count:
    """Count emitted rows against stored ones."""
    rows = Counter((row.engine, row.cycle) for row in emitted)
    refused = rows.keys() & (stored.refusals.keys() - stored.predictions.keys())
    due = Counter({key: times for key, times in rows.items() if key not in refused})
    missing = (rows - stored.telemetry).total() + (due - stored.predictions).total()
    return Count(
        engines=len({engine for engine, _ in rows}),
        predictions=due.total(),
        committed=stored.predictions.total(),
        dropped=dropped,
        lost=max(0, missing - dropped),
        duplicates=(stored.telemetry - rows).total() + (stored.predictions - due).total(),
        refused=Counter(stored.refusals[key] for key in refused),
    )


def refused_line(refused: Counter[str]) -> str:
    """How many rows the model refused, and why; the reason that came most often stands for all.

    >>> refused_line(Counter({"another flight condition": 2, "no value of T24": 1}))
    '3 rows gave no prediction, by refusal of the model: another flight condition (2), and 1 for other reasons'
    """
    ((reason, times),) = refused.most_common(1)
    others = f", and {refused.total() - times} for other reasons" if refused.total() > times else ""
    return f"{refused.total()} rows gave no prediction, by refusal of the model: {reason} ({times}){others}"


def read_store(path: Path) -> Stored:
    """Read an aggregator's SQLite store, without the aggregator and without writing to it.

    Raises:
        SpoolwatchError: there is no such store.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute(_STORED).fetchall()
            refusals = connection.execute(_REFUSALS).fetchall()
    except sqlite3.Error as error:
        raise SpoolwatchError(f"cannot count in the store {path}: {error}") from error
    stored = Stored(refusals={(serial, cycle): reason for serial, cycle, reason in refusals})
    for kind, serial, cycle, times in rows:
        counter = stored.telemetry if kind == "telemetry" else stored.predictions
        counter[serial, cycle] = times
    return stored
