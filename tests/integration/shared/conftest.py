import shutil

import pytest

from shared.predictor import find_bundle

RUNTIMES = ("tflite-runtime", "ai-edge-litert")


@pytest.fixture(params=RUNTIMES)
def runtime(request):
    """Each of the two TFLite runtimes."""
    return request.param


@pytest.fixture
def released():
    """The released bundle, not to be written to."""
    return find_bundle("turbofan")


@pytest.fixture
def copy(released, tmp_path):
    """A copy of the released bundle that a test may damage."""
    return shutil.copytree(released, tmp_path / "bundle")
