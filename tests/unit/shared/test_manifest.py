import msgspec
import pytest

from shared import manifest as manifests
from shared.errors import BundleError
from shared.manifest import Calibration, DriftSpec


def calibration(nodes, count):
    return Calibration(nodes=nodes, **{part: [1.0] * count for part in ("mean", "median", "below", "above")})


def drift(channels=3, regimes=2, limits=3, diagonal=1.0):
    lower = [[0.0] * row + [diagonal] for row in range(channels)]
    return DriftSpec(version=1, precision=[lower] * regimes, ewma_alpha=0.2, clip=8.0, limits=[2.0] * limits)


def test_a_manifest_is_read_as_it_was_written(tmp_path, manifest):
    manifests.write(manifest, tmp_path)
    assert manifests.read(tmp_path) == manifest


def test_without_a_calibration_of_their_own_rows_of_unknown_age_have_that_of_the_others(tmp_path, manifest):
    manifests.write(manifest, tmp_path)
    assert b"ageless_calibration" not in (tmp_path / "manifest.json").read_bytes()
    assert manifest.calibration_for(age_known=False) == manifest.calibration_for(age_known=True) == manifest.calibration
    own = calibration([50.0], count=1)
    manifests.write(msgspec.structs.replace(manifest, ageless_calibration=own), tmp_path)
    assert manifests.read(tmp_path).calibration_for(age_known=False) == own
    assert manifests.read(tmp_path).calibration_for(age_known=True) == manifest.calibration


def test_a_manifest_may_say_by_what_drift_is_found_and_without_that_none_is_looked_for(tmp_path, manifest):
    manifests.write(manifest, tmp_path)
    assert b"drift" not in (tmp_path / "manifest.json").read_bytes()
    assert manifests.read(tmp_path).drift is None
    manifests.write(msgspec.structs.replace(manifest, drift=drift()), tmp_path)
    assert manifests.read(tmp_path).drift == drift()


def test_a_missing_manifest_says_what_a_bundle_holds(tmp_path):
    with pytest.raises(BundleError, match=r"No such file.*model\.tflite and manifest\.json"):
        manifests.read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"format": 1}'])
def test_content_that_is_no_manifest_is_refused(tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match="not a valid manifest"):
        manifests.read(tmp_path)


def test_a_field_of_the_wrong_kind_is_named(tmp_path, manifest):
    fields = msgspec.to_builtins(manifest) | {"cap_cycles": -1}
    (tmp_path / "manifest.json").write_bytes(msgspec.json.encode(fields))
    with pytest.raises(BundleError, match="cap_cycles"):
        manifests.read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "m" * 201}, r"length <= 200 - at `\$.name`"),
        ({"format": 3}, "has format 3; this program reads format 2"),
        ({"channels": lambda m: m.channels * 2}, "channel names repeat"),
        ({"channels": lambda m: m.channels[:2]}, "unknown channel"),
        ({"calibration": calibration([0.0, 50.0], count=1)}, "nodes and values do not fit"),
        ({"calibration": calibration([50.0, 50.0], count=2)}, "nodes do not ascend"),
        ({"ageless_calibration": calibration([0.0, 50.0], count=1)}, "nodes and values do not fit"),
        ({"ageless_calibration": calibration([50.0, 50.0], count=2)}, "nodes do not ascend"),
        ({"drift": drift(channels=2)}, "drift does not fit regimes and feature channels"),
        ({"drift": drift(regimes=1)}, "drift does not fit regimes and feature channels"),
        ({"drift": drift(limits=2)}, "drift does not fit regimes and feature channels"),
        ({"drift": drift(diagonal=0.0)}, "drift does not fit regimes and feature channels"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(tmp_path, manifest, changes, reason):
    changes = {name: change(manifest) if callable(change) else change for name, change in changes.items()}
    manifests.write(msgspec.structs.replace(manifest, **changes), tmp_path)
    with pytest.raises(BundleError, match=reason):
        manifests.read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"health": [[1.0]]}, "do not fit the feature channels"),
        ({"center": [0.0]}, "center and scale"),
        ({"lag_rows": 7}, "longer than window_rows"),
    ],
)
def test_features_that_do_not_fit_together_are_refused(tmp_path, manifest, changes, reason):
    spec = msgspec.structs.replace(manifest.features, **changes)
    manifests.write(msgspec.structs.replace(manifest, features=spec), tmp_path)
    with pytest.raises(BundleError, match=reason):
        manifests.read(tmp_path)
