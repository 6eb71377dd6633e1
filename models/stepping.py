"""Takes an engine's rows through the code that runs at the gateway."""

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from shared.cmapss import CHANNELS
from shared.predictor import Predictor, Step
from shared.rows import SensorRow

# The files have no times and no feature is made of one; a row must have one all the same.
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


def steps(
    predictor: Predictor, cycles: NDArray[np.int64], values: NDArray[np.float64], *, age_known: bool = True
) -> list[Step]:
    """What the agent would say after every row of one engine.

    Args:
        predictor: the model.
        cycles: of the rows, rising from 1 or later.
        values: shape (rows, 24), columns as ``CHANNELS``, NaN where a row has no value.
        age_known: whether the model may use the cycle as the engine's age.

    Raises:
        RowError: the cycles do not rise.
    """
    state = predictor.new_state()
    return [
        predictor.step(
            state, SensorRow("", cycle, _ANY_TIME, dict(zip(CHANNELS, row, strict=True))), age_known=age_known
        )
        for cycle, row in zip(cycles.tolist(), values.tolist(), strict=True)
    ]
