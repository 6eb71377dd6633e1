"""How predictions did, held against lives whose end is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from aggregator.fleet.alarms import follow
from aggregator.fleet.conditions import RulLow
from aggregator.fleet.rul import Rul
from shared.scoring import phm08_score

NEAR_CYCLES = 50
LIVES_MIN = 5
"""With fewer lives an interval over lives would say more than anybody knows."""
_DRAWS = 1000
_DRAWN_AT_ONCE = 100

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Held:
    """Predictions of one model over one life, in their order, in cycles.

    Attributes:
        left: how many cycles were left then; of a life that did not end by failure, at least.
        cap: beyond which the model only says "at least".
    """

    left: Floats
    mean: Floats
    q05: Floats
    q50: Floats
    q95: Floats
    cap: Floats


@dataclass(frozen=True, slots=True)
class Sums:
    """What predictions of one life come to, in a form that adds up over lives.

    Errors are of the mean, clipped to 0…cap, against what was left, at most the cap. ``near`` counts predictions with
    50 cycles or fewer left. Of a life that did not end by failure only ``predictions`` and ``too_low`` are known:
    those whose interval ended below what the engine lasted at least.
    """

    predictions: int = 0
    error_sum: float = 0.0
    absolute_error_sum: float = 0.0
    squared_error_sum: float = 0.0
    score_sum: float = 0.0
    covered: int = 0
    width_sum: float = 0.0
    near: int = 0
    near_squared_error_sum: float = 0.0
    near_covered: int = 0
    too_low: int = 0


SUMS = tuple(field.name for field in fields(Sums))


def sum_up(held: Held, *, is_failure: bool) -> Sums:
    """Sum up predictions over a life; in an interval is what lies in it as it is told: "at least the cap" holds there.

    >>> one = np.array([10.0])
    >>> sum_up(Held(one, one + 2, one - 5, one, one + 5, one + 115), is_failure=True).squared_error_sum
    4.0
    """
    label = np.minimum(held.left, held.cap)
    if not is_failure:
        return Sums(predictions=len(label), too_low=_count(held.q95 < label))
    error = np.clip(held.mean, 0.0, held.cap) - label
    is_covered = (np.minimum(held.q05, held.cap) <= label) & (label <= np.maximum(held.q95, 0.0))
    is_near = held.left <= NEAR_CYCLES
    return Sums(
        predictions=len(label),
        error_sum=float(error.sum()),
        absolute_error_sum=float(np.abs(error).sum()),
        squared_error_sum=float((error**2).sum()),
        score_sum=float(phm08_score(error).sum()),
        covered=_count(is_covered),
        width_sum=float((held.q95 - held.q05).sum()),
        near=_count(is_near),
        near_squared_error_sum=float((error[is_near] ** 2).sum()),
        near_covered=_count(is_covered & is_near),
    )


def first_spoke(held: Held, conditions: Mapping[str, RulLow]) -> dict[str, int | None]:
    """By rule: how many cycles were left when it would first have raised its alarm; None where it never would."""
    ruls = [Rul(*each) for each in zip(held.mean, held.q05, held.q50, held.q95, held.cap, strict=True)]
    found: dict[str, int | None] = {}
    for name, condition in conditions.items():
        turns = follow((condition.judge(rul) for rul in ruls), condition.in_a_row, is_active=False, streak=0).turns
        found[name] = int(held.left[turns[0].place]) if turns else None
    return found


@dataclass(frozen=True, slots=True)
class Figures:
    """How a model did over lives that ended by failure; ``*_interval`` is None of fewer than five lives.

    The intervals are those of 95 % when lives are drawn anew with replacement.
    """

    lives: int
    predictions: int
    rmse_cycles: float
    rmse_interval: tuple[float, float] | None
    mae_cycles: float
    bias_cycles: float
    score_mean: float
    rmse_near_failure_cycles: float | None
    coverage: float
    coverage_interval: tuple[float, float] | None
    coverage_near_failure: float | None
    width_cycles: float


def figures_of(lives: Sequence[Sums]) -> Figures | None:
    """The figures of a model over lives that ended by failure; None where it predicted nothing in any."""
    told = [life for life in lives if life.predictions]
    if not told:
        return None
    per_life = np.array([[getattr(life, name) for name in SUMS] for life in told], dtype=np.float64)
    total = dict(zip(SUMS, per_life.sum(axis=0).tolist(), strict=True))
    count, near = total["predictions"], total["near"]
    rmse_interval, coverage_interval = _intervals(per_life) if len(told) >= LIVES_MIN else (None, None)
    return Figures(
        lives=len(told),
        predictions=int(count),
        rmse_cycles=(total["squared_error_sum"] / count) ** 0.5,
        rmse_interval=rmse_interval,
        mae_cycles=total["absolute_error_sum"] / count,
        bias_cycles=total["error_sum"] / count,
        score_mean=total["score_sum"] / count,
        rmse_near_failure_cycles=(total["near_squared_error_sum"] / near) ** 0.5 if near else None,
        coverage=total["covered"] / count,
        coverage_interval=coverage_interval,
        coverage_near_failure=total["near_covered"] / near if near else None,
        width_cycles=total["width_sum"] / count,
    )


def _intervals(per_life: Floats) -> tuple[tuple[float, float], tuple[float, float]]:
    """The bootstrap intervals of RMSE and coverage over lives, rows of sums."""
    wanted = per_life[:, [SUMS.index(name) for name in ("predictions", "squared_error_sum", "covered")]]
    random = np.random.default_rng(0)
    drawn = [
        wanted[random.integers(0, len(wanted), (_DRAWN_AT_ONCE, len(wanted)))].sum(axis=1)
        for _ in range(_DRAWS // _DRAWN_AT_ONCE)
    ]
    count, squared, covered = np.concatenate(drawn).T
    rmse = np.percentile(np.sqrt(squared / count), [2.5, 97.5])
    coverage = np.percentile(covered / count, [2.5, 97.5])
    return (float(rmse[0]), float(rmse[1])), (float(coverage[0]), float(coverage[1]))


def _count(values: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(values))
