"""Takes an engine's rows through the code that runs at the gateway."""

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from models.reading import Life
from shared.cmapss import CHANNELS
from shared.predictor import EngineState, Predictor, Step
from shared.rows import SensorRow

# The files have no times and no feature is made of one; a row must have one all the same.
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


def steps(
    predictor: Predictor,
    cycles: NDArray[np.int64],
    values: NDArray[np.float64],
    *,
    state: EngineState | None = None,
    age_known: bool = True,
) -> list[Step]:
    """What the agent would say after every row of one engine.

    Args:
        predictor: the model.
        cycles: of the rows, rising from 1 or later.
        values: shape (rows, 24), columns as ``CHANNELS``, NaN where a row has no value.
        state: of the rows before, updated in place; by default there are none.
        age_known: whether the model may use the cycle as the engine's age.

    Raises:
        RowError: the cycles do not rise.
    """
    state = state or predictor.new_state()
    return [
        predictor.step(
            state, SensorRow("", cycle, _ANY_TIME, dict(zip(CHANNELS, row, strict=True))), age_known=age_known
        )
        for cycle, row in zip(cycles.tolist(), values.tolist(), strict=True)
    ]


class SteppedLife:
    """One engine's steps, from which other histories of it branch off without going through what they share.

    Attributes:
        steps: what the agent would say after every row.
    """

    def __init__(self, predictor: Predictor, life: Life) -> None:
        self._predictor, self._life = predictor, life
        self.steps: list[Step] = []
        self._before: list[bytes] = []
        state = predictor.new_state()
        for row in range(len(life.values)):
            self._before.append(state.to_bytes())
            self.steps += steps(predictor, life.cycles[row : row + 1], life.values[row : row + 1], state=state)

    def last_step(self, cycles: NDArray[np.int64], values: NDArray[np.float64]) -> Step:
        """What the agent would say at the end of another history of the engine, no longer than its life."""
        rows = len(cycles)
        same = (cycles == self._life.cycles[:rows]) & (values == self._life.values[:rows]).all(axis=1)
        first = rows - 1 if same.all() else int(same.argmin())
        state = self._predictor.state_from_bytes(self._before[first])
        return steps(self._predictor, cycles[first:], values[first:], state=state)[-1]
