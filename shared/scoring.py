"""How a predicted remaining useful life is scored against the true one."""

import numpy as np
from numpy.typing import NDArray


def phm08_score(error: NDArray[np.float64]) -> NDArray[np.float64]:
    """The PHM08 score per prediction: late ones (error > 0, in cycles) cost more (Saxena et al., PHM08).

    >>> phm08_score(np.array([-13.0, 0.0, 10.0])).round(3).tolist()
    [1.718, 0.0, 1.718]
    """
    penalty: NDArray[np.float64] = np.where(error < 0, np.exp(-error / 13), np.exp(error / 10)) - 1.0
    return penalty
