"""Proves a bundle: the file is the one its manifest names, small enough, and computes the same on every runtime."""

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.bundle import MODEL_FILE, Bundle, read_bundle
from shared.errors import BundleError
from shared.predictor import Predictor, load_bundle
from shared.runtimes import Runtime, installed

MAX_BYTES = 100_000
RANDOM_TENSORS = 200
# One quantisation step: the kernels of two runtimes may round a tie differently.
MAX_DIFFERENCE_STEPS = 1

RUNTIMES: tuple[Runtime, ...] = ("tflite-runtime", "ai-edge-litert")


class Verified(msgspec.Struct, frozen=True):
    """What was proved of a bundle.

    Attributes:
        runtimes: on which its golden vectors came out, first in a child process of their own, then here.
        tensors: on how many inputs, golden and random ones, the runtimes' outputs were compared; 0 with one runtime.
        difference_steps: the most by which two outputs differed, in quantisation steps.
    """

    model: str
    path: str
    sha256: str
    size_bytes: int
    golden_vectors: int
    runtimes: list[str]
    tensors: int
    difference_steps: int

    def __str__(self) -> str:
        """The findings for a person."""
        compared = (
            f"outputs on {self.tensors} inputs at most {self.difference_steps} quantisation steps apart"
            if self.tensors
            else "not compared with another runtime: only this one is installed"
        )
        return (
            f"{self.model} is good: {self.path}\n"
            f"  sha256 {self.sha256}, {self.size_bytes} bytes of at most {MAX_BYTES}\n"
            f"  {self.golden_vectors} golden vectors come out on {' and '.join(self.runtimes)}\n  {compared}"
        )


def verify(folder: Path) -> Verified:
    """Prove a bundle on every runtime that is installed.

    Raises:
        BundleError: the first defect found.
    """
    bundle = read_bundle(folder)
    manifest = bundle.manifest
    if len(bundle.model) > MAX_BYTES:
        raise BundleError(f"{folder / MODEL_FILE} has {len(bundle.model)} bytes; {MAX_BYTES} are allowed")
    predictors = [load_bundle(folder, runtime) for runtime in _runtimes()]
    tensors = _tensors(bundle) if len(predictors) > 1 else []
    return Verified(
        model=f"{manifest.name}@{manifest.version}",
        path=str(folder),
        sha256=manifest.sha256,
        size_bytes=len(bundle.model),
        golden_vectors=len(manifest.golden_tensors) + len(manifest.golden_histories),
        runtimes=[predictor.runtime for predictor in predictors],
        tensors=len(tensors),
        difference_steps=max((_difference(tensor, predictors, folder) for tensor in tensors), default=0),
    )


def _runtimes() -> list[Runtime]:
    here = [runtime for runtime in RUNTIMES if any(each.startswith(f"{runtime} ") for each in installed())]
    return here or ["auto"]


def _tensors(bundle: Bundle) -> list[NDArray[np.int8]]:
    golden = [np.frombuffer(each.input, np.int8) for each in bundle.manifest.golden_tensors]
    generator = np.random.default_rng(0)
    return golden + list(generator.integers(-128, 128, (RANDOM_TENSORS, len(golden[0])), dtype=np.int8))


def _difference(tensor: NDArray[np.int8], predictors: list[Predictor], folder: Path) -> int:
    outputs = np.array([predictor.network.run(tensor) for predictor in predictors], dtype=int)
    difference = int(np.ptp(outputs, axis=0).max())
    if difference > MAX_DIFFERENCE_STEPS:
        runtimes = " and ".join(predictor.runtime for predictor in predictors)
        raise BundleError(f"{folder}: outputs of {runtimes} differ by {difference} quantisation steps")
    return difference
