"""Fits the constants of the engine model to the C-MAPSS training engines: ``python -m simulators.fit --data DIR``.

Statistics only; nothing here knows the RUL model, so that its error on simulated engines says something about the
model. What is written is frozen; DECISIONS.md, entry 14, tells when and why it was written anew.
"""

import argparse
import gzip
import hashlib
from pathlib import Path

import msgspec
import numpy as np

from models.reading import read_lives
from shared.cmapss import CHANNELS, DECIMALS
from simulators.engine_model import CONSTANTS_FILE, Array, Constants, Population, Regime, growth

FILE = "train_FD001.txt.gz"
SETTINGS = 3
HEALTHY_ROWS, WORN_ROWS = 30, 5
ONSETS = (0.02, 0.03, 0.05, 0.08, 0.12, 0.18, 0.25)
FIRST_GUESS = np.array([0.0, 1.0, 0.4])
STEPS = 20
# The most at which the spread of Nc and NRc between engines differs from the training engines' by no more than about
# its sampling error: with less, simulated engines repeat training engines; with more, they lose how those differ.
SMOOTHING = 0.5


def fit(path: Path) -> Constants:
    """Fit the constants to a training file of one operating condition and one fault mode."""
    lives = [life.values for life in read_lives(path)]
    mean, noise = _healthy_mean(lives), _noise(lives)
    responding, weights = _response(lives, noise)
    scaled = [(life[:, responding] - mean[responding]) / noise[responding] for life in lives]
    onset = min(ONSETS, key=lambda each: sum(_growth(life @ weights, each)[1] for life in scaled))
    parameters, uncertainty = zip(*(_engine(life, weights, onset) for life in scaled), strict=True)
    return Constants(
        fitted_to=path.name,
        fitted_sha256=hashlib.sha256(_content(path)).hexdigest(),
        regime=Regime(_rounded(mean), _rounded(noise)),
        population=Population(
            responding=[CHANNELS[column] for column in responding],
            onset=onset,
            smoothing=SMOOTHING,
            engines=[_rounded(row) for row in _shrunk(np.array(parameters), np.mean(uncertainty, axis=0))],
        ),
    )


def _healthy_mean(lives: list[Array]) -> Array:
    mean: Array = np.mean([life[:HEALTHY_ROWS].mean(axis=0) for life in lives], axis=0)
    return mean


def _noise(lives: list[Array]) -> Array:
    """Standard deviation of the white noise, from second differences (wear is smooth), less that of rounding."""
    second = np.concatenate([np.diff(life, n=2, axis=0) for life in lives])
    rounding = np.array([10.0 ** -DECIMALS[name] for name in CHANNELS]) ** 2 / 12
    variance = (second**2).mean(axis=0) / 6 - rounding
    return np.where(np.ptp(np.concatenate(lives), axis=0) > 0, np.sqrt(np.maximum(variance, 0)), 0)


def _response(lives: list[Array], noise: Array) -> tuple[list[int], Array]:
    """The sensors that answer to wear by more than their noise, and the weights that project them on it.

    Wear is 0 for the mean healthy engine and 1 at the mean failure. Sensors whose answer differs much between
    engines respond but are no measure of wear.
    """
    change = np.array([life[-WORN_ROWS:].mean(axis=0) - life[:HEALTHY_ROWS].mean(axis=0) for life in lives])
    size, spread = np.abs(change.mean(axis=0)), change.std(axis=0)
    responding = [k for k in range(SETTINGS, len(CHANNELS)) if noise[k] > 0 and size[k] > noise[k]]
    scaled = change.mean(axis=0)[responding] / noise[responding]
    weights = np.where(size[responding] > 3 * spread[responding], scaled, 0.0)
    return responding, weights / (weights @ scaled)


def _engine(life: Array, weights: Array, onset: float) -> tuple[Array, Array]:
    """One engine's parameters as ``Population`` lists them, and the covariance of their estimation."""
    (start, end, log_power), _, slope = _growth(life @ weights, onset)
    grown = growth(_life_fraction(len(life)), start, end, log_power, onset)
    design = np.column_stack([np.ones(len(life)), grown])
    offsets, slopes = np.linalg.lstsq(design, life, rcond=None)[0]
    parameters = np.concatenate([[np.log(len(life)), start, end, log_power], offsets, slopes])
    uncertainty = np.zeros((len(parameters), len(parameters)))
    uncertainty[1:4, 1:4] = np.linalg.inv(slope.T @ slope) * (weights @ weights)
    uncertainty[4:, 4:] = np.kron(np.linalg.inv(design.T @ design), np.eye(len(offsets)))
    return parameters, uncertainty


def _growth(observed: Array, onset: float) -> tuple[Array, float, Array]:
    """Gauss-Newton fit of wear at the start, wear at failure and log power; with its squared error and Jacobian."""
    life_fraction = _life_fraction(len(observed))

    def curve(parameters: Array) -> Array:
        start, end, log_power = parameters.tolist()
        fitted: Array = start + growth(life_fraction, start, end, log_power, onset)
        return fitted

    parameters = FIRST_GUESS
    for _ in range(STEPS):
        fitted = curve(parameters)
        slope = np.column_stack([(curve(parameters + step) - fitted) / 1e-5 for step in 1e-5 * np.eye(3)])
        change = np.linalg.lstsq(slope, observed - fitted, rcond=None)[0]
        parameters = parameters + np.clip(change, -0.2, 0.2)
    return parameters, float(np.square(observed - curve(parameters)).sum()), slope


def _life_fraction(life_cycles: int) -> Array:
    fraction: Array = np.arange(1, life_cycles + 1) / life_cycles
    return fraction


def _shrunk(parameters: Array, uncertainty: Array) -> Array:
    """The parameters moved towards their mean until their covariance has lost what estimating them added."""
    mean = parameters.mean(axis=0)
    estimated = np.cov(parameters.T)
    shrinking = np.linalg.solve(_root(estimated), _root(estimated - uncertainty))
    shrunk: Array = mean + (parameters - mean) @ shrinking
    return shrunk


def _root(covariance: Array) -> Array:
    """The symmetric square root of a covariance, without the directions in which it is negative."""
    size, direction = np.linalg.eigh(covariance)
    root: Array = direction * np.sqrt(np.maximum(size, 0)) @ direction.T
    return root


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def _rounded(values: Array) -> list[float]:
    return [float(f"{value:.5g}") if abs(value) < 100 else round(float(value), 4) for value in values]


def main() -> None:
    """Fit and write the constants."""
    parser = argparse.ArgumentParser(description="Fit the engine model to C-MAPSS training statistics.")
    parser.add_argument("--data", type=Path, required=True, help=f"folder with {FILE}")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name(CONSTANTS_FILE))
    arguments = parser.parse_args()
    content = msgspec.json.encode(fit(arguments.data / FILE))
    one_engine_per_line = content.replace(b"[[", b"[\n[").replace(b"],[", b"],\n[")
    arguments.output.write_bytes(one_engine_per_line + b"\n")


if __name__ == "__main__":
    main()
