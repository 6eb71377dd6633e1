"""How engines with one fault mode differ, fitted to training engines: the statistics behind ``simulators.fit``."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.cmapss import CHANNELS
from simulators.engine_model import Answer, Array, Population, growth

SETTINGS = 3
EARLY_ROWS, LATE_ROWS = 40, 20
ONSETS = (0.02, 0.03, 0.05, 0.08, 0.12, 0.18, 0.25)
FIRST_GUESS = np.array([0.0, 1.0, 0.4])
STEPS, CONVERGED = 20, 1e-6
# Times the median error of fitted growth. Seven fans of FD004 lie beyond, at three to fifty times the median, and all
# others below about twice: their wear falls back in mid-life, some to that of a new engine, as if two had been joined.
MOST_ERROR = 3.0
# The most at which the spread of Nc and NRc between engines differs from FD001's training engines' by no more than
# about its sampling error: with less, simulated engines repeat training engines; with more, they lose how those differ.
SMOOTHING = 0.5


class Observed(NamedTuple):
    """One training engine: the condition of each row, shape (cycles,), and its channels, shape (cycles, channels)."""

    flown: NDArray[np.intp]
    values: Array


class _Wear(NamedTuple):
    """One engine's wear at the start, at failure and its log power.

    With their covariance, what has grown by each row, and the squared error per row in units of its variance.
    """

    parameters: Array
    covariance: Array
    grown: Array
    error: float


def fit_population(engines: list[Observed], of_engines: int, rounding: Array, responding: list[int]) -> Population:
    """Fit to engines whose channels are given as deviations from the healthy mean in units of noise.

    Args:
        engines: all with the same fault mode.
        of_engines: how many there are of all modes.
        rounding: variance that rounding adds, in the same units, shape (conditions, channels).
        responding: the channels to fit.
    """
    every = [Observed(flown, values[:, responding]) for flown, values in engines]
    covariances = [noise_covariance(each, len(rounding)) for each in every]
    variance = np.nanmean(covariances, axis=0).diagonal(axis1=1, axis2=2)
    variance = np.maximum(variance, rounding[:, responding])
    onset, every_wear = _wear(every, variance)
    most = MOST_ERROR * np.median([each.error for each in every_wear])
    kept = [number for number, each in enumerate(every_wear) if each.error <= most]
    seen, wear = [every[number] for number in kept], [every_wear[number] for number in kept]
    offsets, slopes = _answers(seen, wear, variance)
    parameters, errors = _engines(seen, wear, offsets, slopes, variance)
    own_slopes = [slopes.of(each[4 + len(offsets.factors) :]) for each in parameters]
    return Population(
        share=round(len(engines) / of_engines, 4),
        responding=[CHANNELS[k] for k in responding],
        onset=onset,
        jitter=round(_jitter([covariances[number] for number in kept], own_slopes), 5),
        smoothing=SMOOTHING,
        offsets=offsets,
        slopes=slopes,
        engines=[rounded(each) for each in _shrunk(np.array(parameters), np.mean(errors, axis=0))],
    )


def responding_channels(engines: list[Observed], conditions: int) -> list[int]:
    """The channels whose mean change over life is larger than their noise, in any condition."""
    size = np.abs(np.nanmean([_change(each, conditions) for each in engines], axis=0)).max(axis=0)
    return [k for k in range(SETTINGS, len(CHANNELS)) if size[k] > 1]


def condition_means(engine: Observed, rows: slice, conditions: int) -> Array:
    """Mean of every channel over some rows, shape (conditions, channels); NaN in a condition that none was flown in."""
    flown, values = engine.flown[rows], engine.values[rows]
    means = np.full((conditions, values.shape[1]), np.nan)
    for k in np.unique(flown):
        means[k] = values[flown == k].mean(axis=0)
    return means


def noise_covariance(engine: Observed, conditions: int) -> Array:
    """Covariance of the white noise, shape (conditions, channels, channels); NaN in a condition hardly flown in.

    From second differences of the rows of a condition in the first half of life, where wear is smooth and slow.
    """
    half = len(engine.flown) // 2
    flown, values = engine.flown[:half], engine.values[:half]
    covariance = np.full((conditions, values.shape[1], values.shape[1]), np.nan)
    for k in range(conditions):
        second = np.diff(values[flown == k], n=2, axis=0)
        if len(second):
            covariance[k] = second.T @ second / (6 * len(second))
    return covariance


def rounded(values: Array) -> list[float]:
    """Five digits of each value, and four decimals of those above 100."""
    return [float(f"{value:.5g}") if abs(value) < 100 else round(float(value), 4) for value in values]


def _change(engine: Observed, conditions: int) -> Array:
    late, early = (condition_means(engine, rows, conditions) for rows in (slice(-LATE_ROWS, None), slice(EARLY_ROWS)))
    return late - early


def _wear(seen: list[Observed], variance: Array) -> tuple[float, list[_Wear]]:
    """Onset, and each engine's wear: its channels projected on the mean change, 0 when new and 1 at the mean failure.

    A channel weighs the more, the less its noise and the less its change differs between engines.
    """
    change = np.array([_change(each, len(variance)) for each in seen])
    mean = np.nanmean(change, axis=0)
    weights = mean / (variance + np.nanvar(change, axis=0))
    weights /= (weights * mean).sum(axis=1, keepdims=True)
    deviation = np.sqrt((weights**2 * variance).sum(axis=1))
    projected = [((values * weights[flown]).sum(axis=1), deviation[flown]) for flown, values in seen]
    onset = min(ONSETS, key=lambda onset: sum(_growth(*each, onset).error for each in projected))
    return onset, [_growth(*each, onset) for each in projected]


def _growth(observed: Array, deviation: Array, onset: float) -> _Wear:
    """Gauss-Newton fit of an engine's wear to what each row shows of it, with a known standard deviation."""
    life_fraction = np.arange(1, len(observed) + 1) / len(observed)

    def curve(parameters: Array) -> Array:
        start, end, log_power = parameters.tolist()
        fitted: Array = (start + growth(life_fraction, start, end, log_power, onset)) / deviation
        return fitted

    parameters = FIRST_GUESS
    for _ in range(STEPS):
        fitted = curve(parameters)
        slope = np.column_stack([(curve(parameters + step) - fitted) / 1e-5 for step in 1e-5 * np.eye(3)])
        change = np.linalg.lstsq(slope, observed / deviation - fitted, rcond=None)[0]
        parameters = parameters + np.clip(change, -0.2, 0.2)
        if np.abs(change).max() < CONVERGED:
            break
    start, end, log_power = parameters.tolist()
    grown = growth(life_fraction, start, end, log_power, onset)
    error = float(np.square(observed / deviation - curve(parameters)).mean())
    return _Wear(parameters, np.linalg.inv(slope.T @ slope), grown, error)


def _answers(seen: list[Observed], wear: list[_Wear], variance: Array) -> tuple[Answer, Answer]:
    """What the channels are at the start and how they answer to growing wear, from a straight line per condition."""
    lines = np.empty((2, len(seen), *variance.shape))
    errors = np.empty((2, len(seen), len(variance), 1))
    for number, ((flown, values), (_, _, grown, _)) in enumerate(zip(seen, wear, strict=True)):
        for k in range(len(variance)):
            design = np.column_stack([np.ones((flown == k).sum()), grown[flown == k]])
            lines[:, number, k] = np.linalg.lstsq(design, values[flown == k], rcond=None)[0]
            errors[:, number, k, 0] = np.linalg.inv(design.T @ design).diagonal()
    offsets, slopes = (_answer(line, error.mean(axis=0) * variance) for line, error in zip(lines, errors, strict=True))
    return offsets, slopes


def _answer(lines: Array, variance: Array) -> Answer:
    """Mean and factors of what was estimated for each engine with a known variance, shape (engines, *variance.shape).

    A factor is kept if engines differ in it by more than estimation makes them (the Marchenko-Pastur edge).
    """
    mean, deviation = lines.mean(axis=0), np.sqrt(variance)
    whitened = ((lines - mean) / deviation).reshape(len(lines), -1)
    _, sizes, directions = np.linalg.svd(whitened / np.sqrt(len(lines)), full_matrices=False)
    directions *= np.sign(directions.sum(axis=1, keepdims=True))
    kept = sizes > 1 + np.sqrt(np.count_nonzero(np.ptp(whitened, axis=0)) / len(lines))
    factors = (sizes[kept, None] * directions[kept]).reshape(-1, *variance.shape) * deviation
    return Answer([rounded(row) for row in mean], [[rounded(row) for row in factor] for factor in factors])


def _engines(
    seen: list[Observed], wear: list[_Wear], offsets: Answer, slopes: Answer, variance: Array
) -> tuple[list[Array], list[Array]]:
    """Every engine's parameters as ``Population`` lists them, and the covariance of their estimation."""
    parameters, covariances = [], []
    for (flown, values), its_wear in zip(seen, wear, strict=True):
        deviation, grown = np.sqrt(variance)[flown], its_wear.grown[:, None]
        design = [np.array(factor)[flown] / deviation for factor in offsets.factors]
        design += [grown * np.array(factor)[flown] / deviation for factor in slopes.factors]
        matrix = np.stack([each.ravel() for each in design], axis=1)
        mean = np.array(offsets.mean)[flown] + grown * np.array(slopes.mean)[flown]
        scores = np.linalg.lstsq(matrix, ((values - mean) / deviation).ravel(), rcond=None)[0]
        covariance = np.zeros((4 + len(scores), 4 + len(scores)))
        covariance[1:4, 1:4] = its_wear.covariance
        covariance[4:, 4:] = np.linalg.inv(matrix.T @ matrix)
        parameters.append(np.concatenate([[np.log(len(flown))], its_wear.parameters, scores]))
        covariances.append(covariance)
    return parameters, covariances


def _jitter(covariances: list[Array], slopes: list[Array]) -> float:
    """Standard deviation of wear from row to row: what makes the noise of channels covary as their slopes do.

    The median over engines: some fans flutter when new, far beyond the others.
    """
    squares = []
    for covariance, slope in zip(covariances, slopes, strict=True):
        expected = slope[:, :, None] * slope[:, None, :] * (1 - np.eye(slope.shape[1]))
        squares.append(np.nansum(covariance * expected) / np.square(expected).sum())
    return float(np.sqrt(max(0.0, np.median(squares))))


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
