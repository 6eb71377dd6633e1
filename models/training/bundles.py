"""Puts a trained student into a bundle: model file and manifest; the same for folds and releases."""

import hashlib
from datetime import date
from pathlib import Path

import msgspec
import numpy as np

from models.reading import Life
from models.training import recipe
from models.training.calibration import NO_WIDENING, UNCALIBRATED
from shared import manifest as manifests
from shared.bundle import MODEL_FILE, Bundle
from shared.cmapss import CHANNELS
from shared.manifest import Channel, FeatureSpec, GoldenHistory, GoldenTensor, Manifest, Quantisation
from shared.predictor import Predictor

NAME, VERSION, CREATED = "turbofan", "1.0.0", date(2026, 11, 21)
GOLDEN_TENSORS = 8
GOLDEN_ROWS = 12


def make_bundle(
    model: bytes,
    quantisation: tuple[Quantisation, Quantisation],
    seed: int,
    spec: FeatureSpec,
    channels: list[Channel],
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
        widening=NO_WIDENING,
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
    """Write model file and manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).write_bytes(bundle.model)
    manifests.write(bundle.manifest, folder)
