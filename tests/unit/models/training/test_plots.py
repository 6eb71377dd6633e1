import matplotlib.pyplot as plt
import numpy as np
import pytest

from models.training import plots

NAMES = {"predicted.png", "error.png", "reliability.png", "lives.png"}


@pytest.fixture(scope="module")
def parts(make_fold):
    return [make_fold(fold, late_by=0.0, engines=8) for fold in range(3)]


def test_every_picture_shows_something_and_is_the_same_each_time(parts, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        plots.draw_all(parts, folder)
    assert {path.name for path in first.iterdir()} == NAMES
    for name in NAMES:
        assert (first / name).read_bytes() == (second / name).read_bytes()
        assert np.ptp(plt.imread(first / name)) > 0.5
    assert not plt.get_fignums()
