import numpy as np
import pytest

from benchmarks.inference import NumpyNetwork, check_same, difference_steps
from shared.bundle import find_bundle, read_bundle
from shared.predictor import Predictor


@pytest.fixture(scope="module")
def bundle():
    return read_bundle(find_bundle("turbofan"))


def differences(bundle, numpy_network):
    """Between the runtime and numpy, on inputs around those of an average engine."""
    network, stored = Predictor(bundle, "tflite-runtime").network, bundle.manifest.input
    for features in np.random.default_rng(0).normal(0, 0.5, (200, len(bundle.manifest.features.center))):
        tensor = network.quantise(features.astype(np.float32))
        back = (tensor.astype(np.float32) - stored.zero_point) * np.float32(stored.scale)
        yield difference_steps(bundle, network.run(tensor), numpy_network.run(back))


def test_the_same_network_in_numpy_gives_the_same(bundle):
    check_same(list(differences(bundle, NumpyNetwork(bundle))))


def test_a_network_with_one_weight_less_in_a_hundred_is_another(bundle):
    other = NumpyNetwork(bundle)
    for constant in other._constants.values():
        if constant is not None and constant.ndim == 2:
            constant[np.random.default_rng(0).random(constant.shape) < 0.01] = 0
    with pytest.raises(SystemExit, match="quantisation steps in 1 % of the rows, 2 are allowed"):
        check_same(list(differences(bundle, other)))
