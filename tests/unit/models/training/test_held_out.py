import numpy as np
import pytest

from models.training import held_out
from models.training.held_out import SHIPPED, HeldOut


@pytest.fixture(scope="module")
def parts(make_fold):
    return [make_fold(seed) for seed in range(4)]


def test_what_is_saved_is_loaded(parts, tmp_path):
    parts[0].save(tmp_path / "fold0.npz")
    loaded = HeldOut.load(tmp_path / "fold0.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["fold0.npz"]
    np.testing.assert_array_equal(loaded.subset, parts[0].subset)
    assert loaded.variants.keys() == parts[0].variants.keys()
    for name, found in loaded.variants.items():
        np.testing.assert_array_equal(found, parts[0].variants[name])
    assert loaded.faults.keys() == parts[0].faults.keys()
    for name, found in loaded.faults.items():
        for one, expected in zip(found, parts[0].faults[name], strict=True):
            np.testing.assert_array_equal(one, expected)


def test_each_fold_is_calibrated_on_the_others(parts, make_fold):
    odd = [*parts[:3], make_fold(3, late_by=-30.0)]
    bias = {
        name: np.mean([one.mean for one in predictions] - np.minimum(whole.truth, 125))
        for name, chosen in {"alike": parts, "odd": odd}.items()
        for whole, predictions in [held_out.calibrated(chosen, SHIPPED)]
    }
    assert bias["alike"] == pytest.approx(0, abs=0.5)
    # The odd fold's own error would have been taken out, had it been calibrated on itself.
    own = held_out.calibrated(odd, SHIPPED)[1][-len(odd[3].truth) :]
    assert np.mean([one.mean for one in own] - np.minimum(odd[3].truth, 125)) < -25


def test_there_is_a_table_for_each_subset_and_one_for_all(parts):
    tables = held_out.subset_tables(parts, SHIPPED)
    assert list(tables) == ["FD001", "FD003", "pooled"]
    assert tables["pooled"]["C125"]["rmse"] == pytest.approx(8, abs=1.5)
    assert tables["FD001"]["C125"]["coverage"] == pytest.approx(0.9, abs=0.03)


def test_a_fault_widens_the_interval_until_it_covers_again(parts):
    offsets = held_out.fit_calibration(parts)
    widening = held_out.fit_widening(parts, offsets)
    sides = widening.flags["late_start"]
    assert sides.below > 5
    assert sides.above > 5
    assert 0 < widening.flags["unknown_age"].above < sides.above
    figures = held_out.fault_table(parts)["starts late"]
    assert figures["coverage_as_is"] < 0.75
    assert figures["coverage_widened"] == pytest.approx(0.9, abs=0.03)
    assert figures["rmse_without"] < figures["rmse_with"]
