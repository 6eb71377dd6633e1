"""Puts a trained student into a bundle: model file, manifest with golden vectors; the same for folds and releases."""

import hashlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.training import student
from models.training.calibration import NO_OFFSETS
from shared import manifest as manifests
from shared.bundle import MODEL_FILE, Bundle
from shared.cmapss import CHANNELS
from shared.manifest import Channel, FeatureSpec, GoldenHistory, GoldenTensor, Manifest, Quantisation
from shared.predictor import Predictor

NAME, VERSION, CREATED = "turbofan-fd001", "1.0.0", date(2026, 11, 21)
CAP_CYCLES = 125.0
MAX_MISSING_CHANNELS = 4
GOLDEN_TENSORS = 8
GOLDEN_ROWS = 12


@dataclass(frozen=True, slots=True)
class Origin:
    """What a student was trained on, as far as its bundle tells."""

    seed: int
    spec: FeatureSpec
    channels: list[Channel]
    training_files: dict[str, str]


def make_bundle(model: bytes, origin: Origin) -> Bundle:
    """Wrap an int8 file; calibration, figures and golden vectors are still to come."""
    (input_scale, input_zero), (output_scale, output_zero) = student.quantisation(model)
    manifest = Manifest(
        format=manifests.FORMAT,
        name=NAME,
        version=VERSION,
        created=CREATED,
        sha256=hashlib.sha256(model).hexdigest(),
        seed=origin.seed,
        channels=origin.channels,
        features=origin.spec,
        max_missing_channels=MAX_MISSING_CHANNELS,
        input=Quantisation(scale=input_scale, zero_point=input_zero),
        output=Quantisation(scale=output_scale, zero_point=output_zero),
        head_scale_cycles=CAP_CYCLES,
        cap_cycles=CAP_CYCLES,
        calibration=NO_OFFSETS,
        golden_tensors=[],
        golden_histories=[],
        training_files=origin.training_files,
        figures={},
    )
    return Bundle(Path(), manifest, model)


def with_golden(
    bundle: Bundle, predictor: Predictor, features: NDArray[np.float32], values: NDArray[np.float64]
) -> Bundle:
    """Add golden vectors: inputs from all over the training rows, and the first rows of one engine."""
    chosen = np.linspace(0, len(features) - 1, GOLDEN_TENSORS).astype(int)
    tensors = [predictor.network.quantise(features[row]) for row in chosen]
    rows: list[list[float | None]] = [list(row) for row in values[:GOLDEN_ROWS].tolist()]
    rows[GOLDEN_ROWS // 2][CHANNELS.index("T24")] = None
    manifest = msgspec.structs.replace(
        bundle.manifest,
        golden_tensors=[
            GoldenTensor(input=tensor.tobytes(), output=predictor.network.run(tensor).tobytes()) for tensor in tensors
        ],
        golden_histories=[GoldenHistory(rows=rows, input=predictor.history_input(rows).tobytes())],
    )
    return Bundle(bundle.path, manifest, bundle.model)


def save(bundle: Bundle, folder: Path, card: str) -> None:
    """Write the three files of a bundle."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).write_bytes(bundle.model)
    (folder / "card.md").write_text(card)
    manifests.write(bundle.manifest, folder)
