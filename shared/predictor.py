"""Loads a proven model bundle and turns sensor rows into RUL predictions."""

import math
import sys
from operator import ge
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shared.bundle import Bundle, find_bundle, read_bundle, try_bundle
from shared.drift import Drift
from shared.errors import BundleError
from shared.features import Features, FeatureState
from shared.interval import calibrate, widen
from shared.messages import Flags, ModelRef, RulCycles, Window
from shared.network import Int8, Network
from shared.quality import (
    CONTRADICTED,
    CYCLE,
    DRIFT,
    LATE_START,
    RECOVERING,
    SHORT_HISTORY,
    SHORT_LATE_START,
    STUCK,
    TOLD,
    UNKNOWN_AGE,
    WINDOW_GAP,
    Repeats,
    row_flags,
    unusable,
    with_told,
)
from shared.rows import SensorRow
from shared.runtimes import Runtime, choose_runtime

__all__ = ["EngineState", "Outcome", "Predictor", "Step", "find_bundle", "load_bundle"]

# More rows than any engine has.
NEVER = 2**31 - 1


class Outcome(Struct, frozen=True):
    """A prediction: unclipped RUL, the rows it rests on, and the quantised input tensor."""

    rul_cycles: RulCycles
    window: Window
    input: bytes


class Step(Struct, frozen=True):
    """What one row gave: its quality flags and either an outcome or the reason for none."""

    flags: Flags
    outcome: Outcome | None = None
    refusal: str | None = None


class EngineState:
    """What the predictor remembers of one engine's past rows: some 7 kB, to be stored with the outbox.

    Attributes:
        past: for the next features.
        repeats: by which a stuck channel is found.
        departures: smoothed, by which a channel that drifts is found; see ``shared.drift``.
    """

    def __init__(
        self, features: Features, past: FeatureState, repeats: Repeats, departures: NDArray[np.float64]
    ) -> None:
        self._features = features
        self.past = past
        self.repeats = repeats
        self.departures = departures

    @property
    def last_cycle(self) -> int | None:
        """The last accepted cycle, None before the first."""
        return int(self.past.cycles[-1]) if self.past.seen_rows else None

    def to_bytes(self) -> bytes:
        """Store the state; ``Predictor.state_from_bytes`` restores it."""
        return self._features.to_bytes(self.past) + self.repeats.to_bytes() + self.departures.tobytes()


class Predictor:
    """One loaded model, for any number of engines; use it from one thread at a time.

    Attributes:
        model_ref: names the model in messages.
        runtime: name and version of the runtime, such as ``tflite-runtime 2.14.0``.
        network: the int8 network itself, for training and replay.
    """

    def __init__(self, bundle: Bundle, runtime: str) -> None:
        self.manifest = bundle.manifest
        self.runtime = runtime
        self.model_ref = ModelRef(name=self.manifest.name, version=self.manifest.version, sha256=self.manifest.sha256)
        self.network = Network(bundle, runtime.partition(" ")[0])
        self._features = Features(self.manifest.features)
        self._drift = None if self.manifest.drift is None else Drift(self.manifest.features, self.manifest.drift)
        self._channels = self.manifest.features.channels
        self._needed = frozenset(self._channels)
        stuck_rows = {channel.name: channel.stuck_rows for channel in self.manifest.channels}
        self._stuck_rows = [stuck_rows[name] or NEVER for name in self._channels]

    def new_state(self) -> EngineState:
        """The state of an engine without rows."""
        repeats, departures = Repeats(len(self._channels)), np.zeros(len(self._channels))
        return EngineState(self._features, self._features.new_state(), repeats, departures)

    def state_from_bytes(self, stored: bytes) -> EngineState:
        """Restore a stored state; one of a program that did not look for drift has had none.

        Raises:
            BundleError: it was stored by a model with other features, or is damaged.
        """
        channels = len(self._channels)
        first, second = self._features.stored_bytes, self._features.stored_bytes + Repeats.stored_bytes(channels)
        departures = np.zeros(channels)
        if len(stored) not in (second, second + departures.nbytes):
            raise BundleError(
                "the stored feature state is not of this model; start the engine's state anew from its history"
            )
        past, repeats = self._features.from_bytes(stored[:first]), Repeats.from_bytes(stored[first:second])
        if len(stored) > second:
            departures[:] = np.frombuffer(stored[second:])
        numbers = (past.ewma, past.baseline, past.window, departures)
        counts = (np.diff(past.cycles, prepend=0), past.held, past.baseline_lost, np.array(repeats.rows))
        if not all(np.isfinite(part).all() for part in numbers) or any((part < 0).any() for part in counts):
            raise BundleError("the stored feature state is damaged; start the engine's state anew from its history")
        return EngineState(self._features, past, repeats, departures)

    def step(self, state: EngineState, row: SensorRow, *, age_known: bool = True) -> Step:
        """Take one row into the state and predict from it.

        A channel that is missing, out of range, stuck or drifting is held at its smoothed value, and the interval
        widens, also while the channel is recovering from that; so it does for other things that the row's flags tell.
        With too many such channels, or where the operating condition is unknown, the row still enters the state but the
        prediction is refused.

        Args:
            state: updated in place.
            row: follows the one before by its cycle.
            age_known: whether the row's cycle counts from the engine's installation; the model knows how to do without.

        Raises:
            RowError: the row cannot be used at all; the state is as before.
        """
        flags = row_flags(self.manifest, row, state.last_cycle)
        values = [row.channels.get(name, np.nan) for name in self._channels]
        state.repeats.take(values)
        self._flag_stuck(flags, state, values)
        if flags:
            values = [np.nan if name in flags else value for name, value in zip(self._channels, values, strict=True)]
        regime_channel = self.manifest.features.regime_channel
        setting = np.nan if regime_channel in flags else row.channels[regime_channel]
        usable = np.array(values)
        self._flag_drift(flags, state, setting, usable)
        features = self._features.step(state.past, row.cycle, setting, usable, age_known=age_known)
        window = _window(state.past)
        self._flag_history(flags, state.past, window, age_known)
        if row.flags:
            flags = with_told(flags, row.flags)
        if refusal := self.refusal(flags):
            return Step(flags, refusal=refusal)
        tensor = self.network.quantise(features)
        rul_cycles = self.interpret(self.network.run(tensor), flags)
        return Step(flags, Outcome(rul_cycles, window, tensor.tobytes()))

    def predict_input(self, tensor: bytes, flags: Flags) -> RulCycles:
        """Predict again from the input tensor and the flags that a prediction was stored with."""
        return self.interpret(self.network.run(np.frombuffer(tensor, np.int8)), flags)

    def check_golden(self) -> None:
        """Run the manifest's golden vectors.

        Raises:
            BundleError: an output or an input tensor differs by more than one quantisation step.
        """
        for number, golden in enumerate(self.manifest.golden_tensors):
            output = self.network.run(np.frombuffer(golden.input, np.int8))
            self._compare(f"golden tensor {number}", output, golden.output)
        for number, history in enumerate(self.manifest.golden_histories):
            self._compare(f"golden history {number}", self.history_input(history.rows), history.input)

    def history_input(self, rows: list[list[float | None]]) -> Int8:
        """The input tensor after the rows of one engine from cycle 1, values in the order of the manifest."""
        names = [channel.name for channel in self.manifest.channels]
        state = self._features.new_state()
        for cycle, values in enumerate(rows, start=1):
            row = {name: np.nan if value is None else value for name, value in zip(names, values, strict=True)}
            setting = row[self.manifest.features.regime_channel]
            features = self._features.step(state, cycle, setting, np.array([row[name] for name in self._channels]))
        return self.network.quantise(features)

    def _compare(self, what: str, found: Int8, expected: bytes) -> None:
        wanted = np.frombuffer(expected, np.int8)
        if found.shape != wanted.shape or np.abs(found.astype(int) - wanted).max() > 1:
            raise BundleError(f"model {self.manifest.name}: {what} does not come out on {self.runtime}")

    def _flag_stuck(self, flags: Flags, state: EngineState, values: list[float]) -> None:
        rows, held = state.repeats.rows, state.past.held
        if not any(map(ge, rows, self._stuck_rows)):
            return
        for column, name in enumerate(self._channels):
            if rows[column] >= self._stuck_rows[column]:
                if not math.isnan(values[column]):
                    flags.setdefault(name, []).append(STUCK)
                # What it showed before it was found to be stuck stood in for its values just as well.
                held[column] = max(held[column], rows[column] - 1)

    def _flag_drift(self, flags: Flags, state: EngineState, setting: float, values: NDArray[np.float64]) -> None:
        """Flag the channels that drift, and take their values away."""
        if self._drift is None or (regime := self._features.regime(setting)) is None:
            return
        drifting = self._drift.step(state.departures, regime, values)
        if np.count_nonzero(drifting):
            drifting &= ~np.isnan(values)
            values[drifting] = np.nan
            for column in np.flatnonzero(drifting):
                flags[self._channels[column]] = [DRIFT]

    def _flag_history(self, flags: Flags, past: FeatureState, window: Window, age_known: bool) -> None:
        """Flag what is wrong with the row beside those before, and with the rows so far."""
        if not past.regime_known:
            flags.setdefault(self.manifest.features.regime_channel, [CONTRADICTED])
        elif np.count_nonzero(past.held):
            for column in np.flatnonzero(past.held):
                flags.setdefault(self._channels[column], [RECOVERING])
        short = past.seen_rows < self.manifest.widening.short_history_rows
        found = []
        if short:
            found.append(SHORT_HISTORY if past.baseline_sound else SHORT_LATE_START)
        elif not past.baseline_sound:
            found.append(LATE_START)
        if window.last_cycle - window.first_cycle >= window.rows:
            found.append(WINDOW_GAP)
        if not age_known:
            found.append(UNKNOWN_AGE)
        if found:
            flags.setdefault(CYCLE, []).extend(found)

    def interpret(self, output: Int8, flags: Flags) -> RulCycles:
        """What the network gave for a row with these flags → calibrated cycles, q05 ≤ q50 ≤ q95."""
        quantisation, unit = self.manifest.output, self.manifest.head_scale_cycles
        step_cycles = quantisation.scale * unit
        mean, q05, q50, q95 = [(stored - quantisation.zero_point) * step_cycles for stored in output.tolist()]
        calibration = self.manifest.calibration_for(age_known=UNKNOWN_AGE not in flags.get(CYCLE, ()))
        calibrated = calibrate(calibration, RulCycles(mean=mean, q05=q05, q50=q50, q95=q95))
        if not flags:
            return calibrated
        return widen(self.manifest.widening, len(unusable(flags, self._needed)), flags, calibrated)

    def refusal(self, flags: Flags) -> str | None:
        """Why the model says nothing for a row with these flags; None where it does."""
        if not flags:
            return None
        spec, allowed = self.manifest.features, len(self.manifest.widening.unusable_channels)
        if wrong := [flag for flag in flags.get(spec.regime_channel, ()) if flag not in TOLD]:
            known = ", ".join(f"{regime.nominal:g}" for regime in spec.regimes)
            return f"the operating condition is unknown: {spec.regime_channel} is {wrong[0]}; the model knows {known}"
        wrong = unusable(flags, self._needed)
        if len(wrong) <= allowed:
            return None
        reasons = ", ".join(f"{name} {flags[name][0]}" for name in wrong)
        return f"{len(wrong)} of {len(self._channels)} channels are unusable ({reasons}); the model allows {allowed}"


def load_bundle(path: Path, runtime: Runtime = "auto", trusted_cache: Path | None = None) -> Predictor:
    """Load a bundle after its sha256, a trial in a child process and its golden vectors have come out right.

    Args:
        path: folder of the bundle, see ``find_bundle``.
        runtime: which runtime to use; ``auto`` takes the one that is installed, tflite-runtime before ai-edge-litert.
        trusted_cache: file that remembers which model files passed the trial on which runtime, for faster starts.

    Raises:
        BundleError: says what is wrong with the bundle and what to do.
    """
    bundle = read_bundle(path)
    chosen = choose_runtime(runtime)
    try_bundle(bundle, chosen, trusted_cache)
    return _load(bundle, chosen)


def _load(bundle: Bundle, runtime: str) -> Predictor:
    try:
        predictor = Predictor(bundle, runtime)
    except (RuntimeError, ValueError) as error:
        raise BundleError(f"{bundle.path}: {runtime} cannot load the model: {error}") from error
    predictor.check_golden()
    return predictor


def _window(state: FeatureState) -> Window:
    rows = min(state.seen_rows, len(state.cycles))
    return Window(first_cycle=int(state.cycles[-rows]), last_cycle=int(state.cycles[-1]), rows=rows)


def _try(path: str, runtime_name: Runtime) -> None:
    """What the child process of ``shared.bundle`` runs."""
    try:
        _load(read_bundle(Path(path)), choose_runtime(runtime_name))
    except BundleError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _try(sys.argv[1], sys.argv[2])  # type: ignore[arg-type]  # the parent passes a known name
