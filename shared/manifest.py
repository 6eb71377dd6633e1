"""What a released model says of itself: ``manifest.json``, strict, beside its ``model.tflite``.

What a field means never changes within a format. A new field is optional, and its default means what manifests without
it have always meant, so that released ones stay readable; it is written only where it is not at its default, so that
programs from before it go on reading the others. Whatever cannot be added in this way makes a new format.
"""

from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from shared.errors import BundleError
from shared.messages import NAME_MAX_CHARS

FORMAT = 2
FILE_NAME = "manifest.json"
HEADS = ("mean", "q05", "q50", "q95")

Count = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0)]
Reducer = Literal["median", "mean", "last", "min", "max"]


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all parts share: immutable, fields by name, nothing unknown let through."""


class Channel(_Part, frozen=True, kw_only=True, omit_defaults=True):
    """A channel a row may carry; a value that is outside the range or stuck is flagged and not used.

    Attributes:
        stuck_rows: how many equal values in a row mean that the sensor is stuck; 0 where it may stand still.
        reducer: makes one value of the good samples of a cycle.
        spike: how far a sample may stand above or below both its neighbours; None: six times the greatest sd that the
            channel has in any regime, and no limit where the features do not use it.
        rate_per_s: how much the value may change in a second from one sample to the next; None: no limit.
        stuck_samples: how many equal samples in a row mean that the sensor is stuck; 0 where it may stand still.
    """

    name: str
    unit: str
    minimum: float
    maximum: float
    stuck_rows: Annotated[int, Meta(ge=0)]
    reducer: Reducer = "median"
    spike: Positive | None = None
    rate_per_s: Positive | None = None
    stuck_samples: Annotated[int, Meta(ge=0)] = 0


class Regime(_Part, frozen=True, kw_only=True):
    """One operating condition: its nominal setting, and mean and sd of each feature channel in it."""

    nominal: float
    mean: list[float]
    sd: list[Positive]


class FeatureSpec(_Part, frozen=True, kw_only=True):
    """All that ``shared.features`` needs; ``version`` names the implementation.

    Attributes:
        channels: the channels that features are made of, in order.
        regime_channel: the operating setting whose nearest nominal value names the regime.
        regime_tolerance: how far from it the setting may be; farther away the regime is unknown.
        ageless_slope_rows: of further slopes, which only a row whose age is unknown shows.
        latest_baseline_start: the greatest first cycle of a history whose first rows still show the engine as it was
            installed.
        health: directions of wear, each a weight per channel on z-scores.
        center, scale: standardise each feature; then it is clipped to ± ``clip``.
    """

    version: Count
    channels: list[str]
    regime_channel: str
    regimes: Annotated[list[Regime], Meta(min_length=1)]
    regime_tolerance: Positive
    z_clip: Positive
    ewma_alpha: Annotated[float, Meta(gt=0, le=1)]
    window_rows: Count
    mean_rows: list[Count]
    lag_rows: Count
    slope_rows: list[Count]
    ageless_slope_rows: list[Count] = []
    baseline_rows: Count
    latest_baseline_start: Count
    health: list[list[float]]
    center: list[float]
    scale: list[Positive]
    clip: Positive


class DriftSpec(_Part, frozen=True, kw_only=True):
    """How the feature channels go together, by which ``shared.drift`` finds one that drifts.

    Attributes:
        version: names the method.
        precision: per regime the inverse of the covariance matrix of the z-scores: rows of its lower triangle.
        ewma_alpha: what a row's departures weigh in the smoothed ones.
        clip: how far a single row may depart, in sd; one that does is not held against the other channels.
        limits: per channel, how far its smoothed departure may go, in sd; a channel whose limit is at the clip or above
            is not judged.
    """

    version: Count
    precision: list[list[list[float]]]
    ewma_alpha: Annotated[float, Meta(gt=0, le=1)]
    clip: Positive
    limits: list[Positive]


class Quantisation(_Part, frozen=True, kw_only=True):
    """Affine int8 quantisation: real = (stored - zero_point) × scale."""

    scale: Positive
    zero_point: Annotated[int, Meta(ge=-128, le=127)]


class Calibration(_Part, frozen=True, kw_only=True):
    """What held-out engines ask for, by the median as the network predicts it.

    Between two nodes everything is linear, beyond the outermost ones constant.

    Attributes:
        nodes: predicted medians, ascending.
        mean, median: per node, the cycles that are added to this head.
        below, above: per node, how many times the network's own distance from its median to q05 and q95 the interval
            reaches.
    """

    nodes: Annotated[list[float], Meta(min_length=1)]
    mean: list[float]
    median: list[float]
    below: list[Positive]
    above: list[Positive]


class Sides(_Part, frozen=True, kw_only=True):
    """How many cycles an interval reaches farther down and up."""

    below: Annotated[float, Meta(ge=0)]
    above: Annotated[float, Meta(ge=0)]


class Widening(_Part, frozen=True, kw_only=True):
    """How much farther q05 and q95 reach where rows are worse than those of training; what holds together adds up.

    Attributes:
        unusable_channels: by the number of feature channels that are missing, out of range, stuck, drifting or
            recovering, from 1; with more of them than are listed the prediction is refused.
        flags: by a flag of ``shared.quality``, raised for any channel or for the row as a whole.
        short_history_rows: with fewer rows a history is flagged as short.
    """

    unusable_channels: list[Sides]
    flags: dict[str, Sides]
    short_history_rows: Count


class GoldenTensor(_Part, frozen=True, kw_only=True):
    """An input tensor and the output tensor it must give, both int8; one step of difference is allowed."""

    input: bytes
    output: bytes


class GoldenHistory(_Part, frozen=True, kw_only=True):
    """Rows of one engine from cycle 1, null where missing, and the input tensor that the last row must give."""

    rows: list[list[float | None]]
    input: bytes


class Manifest(_Part, frozen=True, kw_only=True, omit_defaults=True):
    """The whole manifest.

    Attributes:
        head_scale_cycles: the network's outputs are RUL in this unit, one per name in ``HEADS``.
        ageless_calibration: for rows whose age is unknown; None: the same as for others.
        drift: by what a channel that drifts is found, which is then not used; None: it is not looked for.
        training_files: sha256 of each file of training rows (uncompressed text).
        figures: by column (``C125``, ``RAW``) the error figures on pseudo-test folds of training engines.
    """

    format: int
    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]*$(?!\n)", max_length=NAME_MAX_CHARS)]
    version: Annotated[str, Meta(pattern=r"^\d+\.\d+\.\d+$(?!\n)", max_length=NAME_MAX_CHARS)]
    created: date
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
    seed: int
    channels: list[Channel]
    features: FeatureSpec
    input: Quantisation
    output: Quantisation
    head_scale_cycles: Positive
    cap_cycles: Positive
    calibration: Calibration
    ageless_calibration: Calibration | None = None
    drift: DriftSpec | None = None
    widening: Widening
    golden_tensors: Annotated[list[GoldenTensor], Meta(min_length=1)]
    golden_histories: list[GoldenHistory]
    training_files: dict[str, str]
    figures: dict[str, dict[str, float]]

    def calibration_for(self, *, age_known: bool) -> Calibration:
        """The calibration of rows whose age is known, or of those whose age is not."""
        return self.calibration if age_known else self.ageless_calibration or self.calibration


def read(folder: Path) -> Manifest:
    """Read and check the manifest of a bundle.

    Raises:
        BundleError: it is missing, not JSON, breaks the schema, or its parts do not fit together.
    """
    path = folder / FILE_NAME
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}; a bundle holds model.tflite and {FILE_NAME}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} is not a valid manifest: {error}; install the released bundle again") from error
    _check(manifest, path)
    return manifest


def write(manifest: Manifest, folder: Path) -> None:
    """Write the manifest of a bundle, whole or not at all."""
    content = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    unfinished = folder / f"{FILE_NAME}.part"
    unfinished.write_bytes(content + b"\n")
    unfinished.replace(folder / FILE_NAME)


def _check(manifest: Manifest, path: Path) -> None:
    if manifest.format != FORMAT:
        raise BundleError(
            f"{path} has format {manifest.format}; this program reads format {FORMAT}: update one of them"
        )
    spec, names = manifest.features, [channel.name for channel in manifest.channels]
    widths = [len(spec.channels), *(len(part) for regime in spec.regimes for part in (regime.mean, regime.sd))]
    calibrations = [manifest.calibration_for(age_known=known) for known in (True, False)]
    problems = {
        "channel names repeat": len(set(names)) != len(names),
        "features use an unknown channel": not {spec.regime_channel, *spec.channels} <= set(names),
        "regimes and health directions do not fit the feature channels": len({*widths, *map(len, spec.health)}) != 1,
        "center and scale differ in length": len(spec.center) != len(spec.scale),
        "a feature window is longer than window_rows": spec.window_rows
        < max([2 * spec.lag_rows, *spec.mean_rows, *spec.slope_rows, *spec.ageless_slope_rows]),
        "calibration nodes do not ascend": any(
            first >= second for one in calibrations for first, second in pairwise(one.nodes)
        ),
        "calibration nodes and values do not fit": any(
            {len(one.mean), len(one.median), len(one.below), len(one.above)} != {len(one.nodes)} for one in calibrations
        ),
        "drift does not fit regimes and feature channels": manifest.drift is not None
        and not _fits(manifest.drift, len(spec.regimes), len(spec.channels)),
    }
    for problem, found in problems.items():
        if found:
            raise BundleError(f"{path}: {problem}; install the released bundle again")


def _fits(drift: DriftSpec, regimes: int, channels: int) -> bool:
    shapes = [[len(row) for row in lower] for lower in drift.precision]
    if shapes != [list(range(1, channels + 1))] * regimes or len(drift.limits) != channels:
        return False
    return all(row[-1] > 0 for lower in drift.precision for row in lower)
