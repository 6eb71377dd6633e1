"""Runs released models at the centre, by the very code of the agents: off the event loop, one row of work at a time."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from aggregator.released import find_released
from shared.desired import DesiredEngine
from shared.errors import SpoolwatchError
from shared.messages import Flags, ModelRef, RulCycles
from shared.predictor import Outcome, Predictor, load_bundle
from shared.replay import Replay, replay
from shared.rows import SensorRow
from shared.seeding import seeded_state

Result = TypeVar("Result")

LOADED_MAX = 4


class RefusedError(SpoolwatchError):
    """The model says nothing of these rows, and why."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the last of some rows gave.

    Attributes:
        row: that one.
        flags: what is wrong with it.
        runtime: name and version of what ran the model.
    """

    row: SensorRow
    flags: Flags
    outcome: Outcome
    model: ModelRef
    runtime: str
    cap_cycles: float


class Inference:
    """The released models, each loaded and proved when it is first wanted; of one event loop.

    Args:
        trusted_cache: file that remembers which model files were proved on which runtime.
    """

    def __init__(self, trusted_cache: Path | None = None) -> None:
        self._trusted_cache = trusted_cache
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")
        self._predictors: OrderedDict[ModelRef, Predictor] = OrderedDict()

    async def forecast(
        self, model: ModelRef, rows: Sequence[SensorRow], desired: DesiredEngine | None = None
    ) -> Forecast:
        """Predict after the last of the rows, of which there is one at least.

        Args:
            model: which model.
            rows: in the order of their cycles.
            desired: how the engine began and is counted; without it, its cycles are its age, and no row came before.

        Raises:
            NotReleasedError: the model is not installed here.
            BundleError: it cannot be loaded, or the runtime is not installed.
            RowError: a row cannot follow the one before.
            RefusedError: the model says nothing of the last row.
        """
        return await self._run(lambda: self._forecast(self._predictor(model), rows, desired))

    async def replay(self, model: ModelRef, tensor: bytes, flags: Flags, stored: RulCycles) -> tuple[Replay, str]:
        """Predict again from a stored input tensor. Returns what came out, and the runtime.

        Raises:
            NotReleasedError, BundleError: as ``forecast`` does.
            ReplayError: the model cannot have made the stored prediction.
        """

        def work() -> tuple[Replay, str]:
            predictor = self._predictor(model)
            return replay(predictor, tensor, flags, stored), predictor.runtime

        return await self._run(work)

    async def _run(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _predictor(self, model: ModelRef) -> Predictor:
        predictor = self._predictors.get(model)
        if predictor is None:
            predictor = load_bundle(find_released(model)[0], trusted_cache=self._trusted_cache)
            self._predictors[model] = predictor
        self._predictors.move_to_end(model)
        if len(self._predictors) > LOADED_MAX:
            self._predictors.popitem(last=False)
        return predictor

    @staticmethod
    def _forecast(predictor: Predictor, rows: Sequence[SensorRow], desired: DesiredEngine | None) -> Forecast:
        state = predictor.new_state() if desired is None else seeded_state(predictor, desired)
        base_cycles = 0 if desired is None else desired.base_cycles
        age_known = desired is None or desired.installation_cycle is not None
        for row in rows:
            counted = replace(row, cycle=row.cycle + base_cycles)
            step = predictor.step(state, counted, age_known=age_known)
        if step.outcome is None:
            raise RefusedError(f"engine {row.engine}, cycle {row.cycle}: {step.refusal}")
        return Forecast(
            row, step.flags, step.outcome, predictor.model_ref, predictor.runtime, predictor.manifest.cap_cycles
        )
