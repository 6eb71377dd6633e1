"""Judges the lives of thousands of engines at once: the rules of ``due``, over arrays."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from aggregator.fleet.due import FARTHEST_DAYS, Doubt, DueDate, Judgement, Life, Verdict, between

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_DAY_US = timedelta(days=1) // _US
NEVER = datetime.max.replace(tzinfo=UTC)

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lives:
    """What is known of how long engines last, in the order of their serials; NaN stands for what nobody knows.

    Attributes:
        engine_ids: the keys of their rows.
        quantiles: q05, q50 and q95 of their latest predictions, in cycles.
        cap: of those, in cycles.
        flown_cycles: since those.
        counted_from_us: until when each is known to have flown no further one, in µs since 1970.
    """

    engine_ids: list[int]
    serials: list[str]
    quantiles: tuple[_Floats, _Floats, _Floats]
    cap: _Floats
    cycles_per_day: _Floats
    flown_cycles: _Floats
    counted_from_us: NDArray[np.int64]
    is_installed: NDArray[np.bool_]

    @classmethod
    def of(cls, engines: Iterable[tuple[int, str, Life]]) -> "Lives":
        """Of each engine the key of its row, its serial, and what is known of its life."""
        ordered = sorted(engines, key=lambda one: one[1])
        lives = [life for _, _, life in ordered]
        ruls = [life.rul for life in lives]
        return cls(
            [engine_id for engine_id, _, _ in ordered],
            [serial for _, serial, _ in ordered],
            (
                _floats(None if rul is None else rul.q05 for rul in ruls),
                _floats(None if rul is None else rul.q50 for rul in ruls),
                _floats(None if rul is None else rul.q95 for rul in ruls),
            ),
            _floats(None if rul is None else rul.cap for rul in ruls),
            _floats(None if life.utilisation is None else life.utilisation.cycles_per_day for life in lives),
            _floats(life.flown_cycles for life in lives),
            np.array([_us(life.counted_from) for life in lives], dtype=np.int64),
            np.array([life.is_installed for life in lives], dtype=np.bool_),
        )

    def judge(self, confidence: float, before: datetime) -> "Judged":
        """Judge each as ``due.judge`` does."""
        quantile = between(*self.quantiles, confidence)
        cycles = np.maximum(0.0, np.clip(quantile, 0.0, self.cap) - self.flown_cycles)
        days = np.where(cycles == 0, 0.0, np.minimum(cycles / self.cycles_per_day, FARTHEST_DAYS))
        is_dated = self.is_installed & ~np.isnan(days)
        at_us = self.counted_from_us + np.rint(np.where(is_dated, days, 0.0) * _DAY_US).astype(np.int64)
        at_us[~is_dated] = _us(NEVER)
        not_before = quantile >= self.cap
        is_early = is_dated & (at_us < _us(before))
        return Judged(self, cycles, at_us, not_before, is_dated, is_early)


@dataclass(frozen=True, slots=True)
class Judged:
    """Verdicts on lives, and the due dates that they rest on; in the order of the lives.

    Attributes:
        cycles: what is left.
        at_us: when they end, in µs since 1970; ``NEVER`` where that is not known.
        not_before: whether the cycles are at the model's cap.
        is_dated: whether there is a due date.
        is_early: whether that is before the date that was asked for.
    """

    lives: Lives
    cycles: _Floats
    at_us: NDArray[np.int64]
    not_before: NDArray[np.bool_]
    is_dated: NDArray[np.bool_]
    is_early: NDArray[np.bool_]

    def counts(self) -> dict[Verdict, int]:
        """How many engines there are of each verdict."""
        return {verdict: int(np.count_nonzero(self._are(verdict))) for verdict in Verdict}

    def first(
        self, verdict: Verdict, after: tuple[datetime, str] | None, limit: int
    ) -> list[tuple[int, str, Judgement]]:
        """The first engines of a verdict, the earliest due first, by key and serial; ``after`` a date and serial."""
        wanted = self._are(verdict)
        if after is not None:
            at_us, place = _us(after[0]), bisect_right(self.lives.serials, after[1])
            is_behind = np.arange(len(wanted)) >= place
            wanted &= (self.at_us > at_us) | ((self.at_us == at_us) & is_behind)
        places = np.flatnonzero(wanted)
        places = places[np.argsort(self.at_us[places], kind="stable")][:limit]
        lives = self.lives
        return [(lives.engine_ids[at], lives.serials[at], self._judgement(at, verdict)) for at in places.tolist()]

    def _judgement(self, place: int, verdict: Verdict) -> Judgement:
        if not self.is_dated[place]:
            return Judgement(verdict, doubt=self._why_undated(place))
        at = _EPOCH + int(self.at_us[place]) * _US
        due = DueDate(at, float(self.cycles[place]), bool(self.not_before[place]))
        return Judgement(verdict, due, Doubt.AT_CAP if verdict is Verdict.UNDETERMINED else None)

    def _are(self, verdict: Verdict) -> NDArray[np.bool_]:
        if verdict is Verdict.NOT_DUE:
            return self.is_dated & ~self.is_early
        if verdict is Verdict.DUE:
            return self.is_early & ~self.not_before
        return ~self.is_dated | (self.is_early & self.not_before)

    def _why_undated(self, place: int) -> Doubt:
        if not self.lives.is_installed[place]:
            return Doubt.NOT_INSTALLED
        return Doubt.NO_PREDICTION if np.isnan(self.lives.cap[place]) else Doubt.NO_UTILISATION


def _floats(values: Iterable[float | None]) -> _Floats:
    return np.array(list(values), dtype=np.float64)


def _us(at: datetime) -> int:
    return (at - _EPOCH) // _US
