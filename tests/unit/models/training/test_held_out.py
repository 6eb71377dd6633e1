import numpy as np

from models.training.held_out import HeldOut


def test_what_is_saved_is_loaded(make_fold, tmp_path):
    part = make_fold(0)
    part.save(tmp_path / "fold0.npz")
    loaded = HeldOut.load(tmp_path / "fold0.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["fold0.npz"]
    np.testing.assert_array_equal(loaded.subset, part.subset)
    assert loaded.variants.keys() == part.variants.keys()
    for name, found in loaded.variants.items():
        np.testing.assert_array_equal(found, part.variants[name])
    assert loaded.faults.keys() == part.faults.keys()
    for name, found in loaded.faults.items():
        for one, expected in zip(found, part.faults[name], strict=True):
            np.testing.assert_array_equal(one, expected)
