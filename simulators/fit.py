"""Fits the constants of the engine model to the C-MAPSS training engines: ``python -m simulators.fit --data DIR``.

Statistics only; nothing here knows a RUL model, so that its error on simulated engines says something about the
model. What is written is frozen; DECISIONS.md, entry 14, tells when and why. FD001 is not fitted here: its constants
are those that an earlier form of this program wrote, when there was no other type of engine.
"""

import argparse
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.reading import read_lives, text_sha256
from shared.cmapss import CHANNELS, DECIMALS
from simulators.engine_model import CONSTANTS_FILE, Array, Condition, Constants
from simulators.fit_population import (
    Observed,
    condition_means,
    fit_population,
    noise_covariance,
    responding_channels,
    rounded,
)

FITTED = ("FD002", "FD003", "FD004")
SETTINGS = 3
HEALTHY_ROWS, WORN_ROWS = 30, 15
STEP = np.array([10.0 ** -DECIMALS[name] for name in CHANNELS])
# Channels of few decimals stand still for many rows: their noise is hidden, but is about this large.
LEAST_NOISE_STEPS = 1 / 6


def fit(lives: list[Array], fitted_to: str, fitted_sha256: str = "") -> Constants:
    """Fit the constants to engines of one type.

    Args:
        lives: the rows of each engine from its first cycle to its failure, shape (cycles, 24).
        fitted_to: what they are: the name of a file, or whatever tells a person.
        fitted_sha256: of the file's text.
    """
    altitudes = np.unique(np.concatenate([life[:, 0] for life in lives]).round())
    raw = [Observed(np.searchsorted(altitudes, life[:, 0].round()), life) for life in lives]
    mean = np.nanmean([condition_means(each, slice(HEALTHY_ROWS), len(altitudes)) for each in raw], axis=0)
    fan = _wears_at_the_fan(raw, mean)
    noise = _noise(raw, [each for each, is_fan in zip(raw, fan, strict=True) if not is_fan], len(altitudes))
    unit = np.where(noise > 0, noise, STEP)
    scaled = [Observed(flown, (values - mean[flown]) / unit[flown]) for flown, values in raw]
    modes = [[each for each, is_fan in zip(scaled, fan, strict=True) if is_fan == mode] for mode in np.unique(fan)]
    responding = sorted(set().union(*(responding_channels(each, len(altitudes)) for each in modes)))
    shares = np.bincount(np.concatenate([flown for flown, _ in raw])) / sum(map(len, lives))
    return Constants(
        fitted_to=fitted_to,
        fitted_sha256=fitted_sha256,
        conditions=[
            Condition(round(float(share), 4), rounded(mean[k]), rounded(noise[k])) for k, share in enumerate(shares)
        ],
        populations=[fit_population(each, len(lives), (STEP / unit) ** 2 / 12, responding) for each in modes],
    )


def _wears_at_the_fan(raw: list[Observed], mean: Array) -> NDArray[np.bool_]:
    """Whether each engine's fan wore out, and not its compressor: then P30 rose until failure.

    Nothing lies between the two: in FD003 P30 fell by 3 to 7 times its noise or rose by 22 to 36 times, in FD004 it
    fell by 1 to 4 times or rose by 10 to 22 times.
    """
    p30 = CHANNELS.index("P30")
    change = [(values - mean[flown])[-WORN_ROWS:, p30].mean() for flown, values in raw]
    return np.array(change) > 0


def _noise(raw: list[Observed], compressor: list[Observed], conditions: int) -> Array:
    """Standard deviation of the white noise without that of rounding, shape (conditions, channels).

    That of a sensor is the same in all conditions: at the median of the engines whose compressor wore out, as the
    others' wear jitters more.
    """
    variance = [np.nanmean(noise_covariance(each, conditions), axis=0).diagonal() for each in compressor]
    sensor = np.sqrt(np.maximum(np.median(variance, axis=0) - STEP**2 / 12, (LEAST_NOISE_STEPS * STEP) ** 2))
    noise = np.tile(sensor, (conditions, 1))
    flown, values = (np.concatenate(each) for each in zip(*raw, strict=True))
    for k in range(conditions):
        noise[k, :SETTINGS] = values[flown == k, :SETTINGS].std(axis=0)
        noise[k, np.ptp(values[flown == k], axis=0) == 0] = 0
    return noise


def main() -> None:
    """Fit and write the constants."""
    parser = argparse.ArgumentParser(description="Fit the engine model to C-MAPSS training statistics.")
    parser.add_argument("--data", type=Path, required=True, help="folder with train_FD002.txt.gz and so on")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the constants")
    parser.add_argument("--subset", choices=FITTED, action="append", help="only this type (default: all of them)")
    arguments = parser.parse_args()
    for subset in arguments.subset or FITTED:
        path = arguments.data / f"train_{subset}.txt.gz"
        content = msgspec.json.encode(fit([life.values for life in read_lives(path)], path.name, text_sha256(path)))
        one_engine_per_line = content.replace(b"[[", b"[\n[").replace(b"],[", b"],\n[")
        (arguments.output / CONSTANTS_FILE.format(subset=subset)).write_bytes(one_engine_per_line + b"\n")


if __name__ == "__main__":
    main()
