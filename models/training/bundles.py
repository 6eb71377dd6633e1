"""Puts a trained student into a bundle: model file and manifest; the same for folds and releases."""

import hashlib
from pathlib import Path

import msgspec
import numpy as np

from models.reading import Life
from models.training import recipe
from models.training.version import CREATED, NAME, VERSION
from shared import manifest as manifests
from shared.bundle import MODEL_FILE, Bundle
from shared.cmapss import CHANNELS
from shared.manifest import (
    Calibration,
    Channel,
    DriftSpec,
    FeatureSpec,
    GoldenHistory,
    GoldenTensor,
    Manifest,
    Quantisation,
    Sides,
    Widening,
)
from shared.predictor import Predictor

# What is flagged and what is refused is decided before the widening is fitted.
UNWIDENED = Widening(
    unusable_channels=[Sides(below=0.0, above=0.0)] * recipe.MOST_UNUSABLE_CHANNELS,
    flags={},
    short_history_rows=recipe.SHORT_HISTORY_ROWS,
)
UNCALIBRATED = Calibration(nodes=[0.0], mean=[0.0], median=[0.0], below=[1.0], above=[1.0])
GOLDEN_TENSORS = 8
GOLDEN_ROWS = 12


def make_bundle(
    model: bytes,
    quantisation: tuple[Quantisation, Quantisation],
    seed: int,
    spec: FeatureSpec,
    channels: list[Channel],
    drift: DriftSpec,
    training_files: dict[str, str],
) -> Bundle:
    """Wrap an int8 file; calibration, widening, figures and golden vectors are still to come."""
    manifest = Manifest(
        format=manifests.FORMAT,
        name=NAME,
        version=VERSION,
        created=CREATED,
        sha256=hashlib.sha256(model).hexdigest(),
        seed=seed,
        channels=channels,
        features=spec,
        input=quantisation[0],
        output=quantisation[1],
        head_scale_cycles=recipe.CAP_CYCLES,
        cap_cycles=recipe.CAP_CYCLES,
        calibration=UNCALIBRATED,
        drift=drift,
        widening=UNWIDENED,
        golden_tensors=[],
        golden_histories=[],
        training_files=training_files,
        figures={},
    )
    return Bundle(Path(), manifest, model)


def with_golden(bundle: Bundle, runtime: str, life: Life) -> Bundle:
    """Add golden vectors: inputs from all over one engine's life, and its first rows, one of them without a value."""
    predictor = Predictor(bundle, runtime)
    chosen = np.linspace(1, len(life.values), GOLDEN_TENSORS).astype(int)
    tensors = [predictor.history_input(life.values[:rows].tolist()) for rows in chosen]
    rows: list[list[float | None]] = [list(row) for row in life.values[:GOLDEN_ROWS].tolist()]
    rows[GOLDEN_ROWS // 2][CHANNELS.index("T24")] = None
    manifest = msgspec.structs.replace(
        bundle.manifest,
        golden_tensors=[
            GoldenTensor(input=tensor.tobytes(), output=predictor.network.run(tensor).tobytes()) for tensor in tensors
        ],
        golden_histories=[GoldenHistory(rows=rows, input=predictor.history_input(rows).tobytes())],
    )
    return Bundle(bundle.path, manifest, bundle.model)


def save(bundle: Bundle, folder: Path) -> None:
    """Write model file and manifest; the manifest, which knows the model's sha256, comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{MODEL_FILE}.part"
    unfinished.write_bytes(bundle.model)
    unfinished.replace(folder / MODEL_FILE)
    manifests.write(bundle.manifest, folder)
