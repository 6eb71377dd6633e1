import numpy as np
import pytest

from models.predictions import Prediction, write_predictions
from shared.messages import RulCycles


@pytest.fixture
def truth(tmp_path):
    """Writes a file of true RULs."""

    def write(*ruls):
        path = tmp_path / "RUL.txt"
        path.write_text("".join(f"{rul}\n" for rul in ruls))
        return path

    return write


@pytest.fixture
def predictions(tmp_path):
    """Writes a file of predictions, each the true RUL plus an error, in an interval of ± 5 cycles."""

    def write(name, truth, errors):
        path = tmp_path / name
        means = np.add(truth, errors).tolist()
        ruls = [RulCycles(mean=mean, q05=mean - 5, q50=mean, q95=mean + 5) for mean in means]
        write_predictions(path, [Prediction(unit, 9, rul) for unit, rul in enumerate(ruls, start=1)])
        return path

    return write
