"""How long one prediction takes on one core: a whole step of the agent's predictor, and its parts beside plain numpy.

Method: rows of simulated engines of every type, one by one through the released model, on the core this starts on,
each step timed by itself after a first life to warm up. *step* is all that the agent does for a row: quality flags,
features, input tensor, network, calibration. *network* is the int8 file in the runtime; *numpy* the same network with
its weights as float32, a matrix product per layer, on the same inputs; set OPENBLAS_NUM_THREADS=1, as `make
bench-inference` does, or it waits for threads of its own on other cores. Compare within one run.

    python -m benchmarks.inference --engines 8 --json
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import numpy as np
import tflite

from shared.bundle import Bundle, read_bundle
from shared.cmapss import CHANNELS, SUBSETS
from shared.predictor import Predictor, find_bundle
from shared.rows import SensorRow
from shared.runtimes import installed
from simulators.engine_model import SimulatedEngine

# Int8 rounds at every layer; on a rare row an activation lies beyond what the layer can store, which costs more.
MAX_DIFFERENCE_STEPS = 2
WITHIN_PERCENT = 99
LINE = "{:<32} {:>9} {:>9} {:>9}"


class NumpyNetwork:
    """The dense layers and concatenations of a model file on float32 weights, for comparison only."""

    def __init__(self, bundle: Bundle) -> None:
        self._model = tflite.Model.GetRootAs(bundle.model, 0)
        self._graph = self._model.Subgraphs(0)
        self._constants = {index: self._constant(index) for index in range(self._graph.TensorsLength())}
        self._layers = [self._layer(number) for number in range(self._graph.OperatorsLength())]

    def run(self, features: np.ndarray) -> np.ndarray:
        values = {self._graph.Inputs(0): features}
        for layer, inputs, output in self._layers:
            values[output] = layer(*(values[index] for index in inputs))
        return values[self._graph.Outputs(0)]

    def _layer(self, number: int) -> tuple[Callable[..., np.ndarray], list[int], int]:
        operator = self._graph.Operators(number)
        inputs, output = operator.InputsAsNumpy().tolist(), operator.Outputs(0)
        code = self._model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()
        if code == tflite.BuiltinOperator.CONCATENATION:
            return lambda *parts: np.concatenate(parts), inputs, output
        if code != tflite.BuiltinOperator.FULLY_CONNECTED:
            raise SystemExit(f"operator {code} is not known to this benchmark")
        weights, bias = self._constants[inputs[1]], self._constants[inputs[2]]
        options = tflite.FullyConnectedOptions()
        options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
        if options.FusedActivationFunction() == tflite.ActivationFunctionType.RELU:
            return lambda x: np.maximum(weights @ x + bias, 0), inputs[:1], output
        return lambda x: weights @ x + bias, inputs[:1], output

    def _constant(self, index: int) -> np.ndarray | None:
        tensor = self._graph.Tensors(index)
        content = self._model.Buffers(tensor.Buffer()).DataAsNumpy()
        if not isinstance(content, np.ndarray):
            return None
        stored = content.view(np.int32 if tensor.Type() == tflite.TensorType.INT32 else np.int8)
        scales = tensor.Quantization().ScaleAsNumpy()
        shaped = stored.reshape(tensor.ShapeAsNumpy()).astype(np.float32)
        return (shaped * (scales[:, None] if shaped.ndim == 2 and len(scales) > 1 else scales)).astype(np.float32)


def rows_of(engines: int) -> Iterator[list[SensorRow]]:
    for number in range(engines):
        engine = SimulatedEngine(f"E-{number}", 0, subset=SUBSETS[number % len(SUBSETS)])
        yield [
            SensorRow(engine.serial, row.cycle, datetime.now(UTC), dict(zip(CHANNELS, row.values, strict=True)))
            for row in engine.rows()
        ]


def timed(function: Callable[..., object], *arguments: object) -> tuple[float, object]:
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def measure(bundle: Bundle, runtime: str, engines: int) -> dict[str, list[float]]:
    """Seconds of every step and of its network, and of the network in numpy; those of the first life do not count."""
    predictor, other = Predictor(bundle, runtime), NumpyNetwork(bundle)
    stored = bundle.manifest.input
    taken: dict[str, list[float]] = {"step": [], "network": [], "numpy": []}
    differences = []
    for number, rows in enumerate(rows_of(engines + 1)):
        state = predictor.new_state()
        for row in rows:
            step_s, step = timed(predictor.step, state, row)
            tensor = np.frombuffer(step.outcome.input, np.int8)
            network_s, output = timed(predictor.network.run, tensor)
            features = (tensor.astype(np.float32) - stored.zero_point) * np.float32(stored.scale)
            numpy_s, expected = timed(other.run, features)
            differences.append(difference_steps(bundle, output, expected))
            if number:
                for name, seconds in (("step", step_s), ("network", network_s), ("numpy", numpy_s)):
                    taken[name].append(seconds)
    check_same(differences)
    return taken


def difference_steps(bundle: Bundle, output: np.ndarray, expected: np.ndarray) -> float:
    """By how many quantisation steps of the output the runtime and numpy differ at most, over the heads."""
    stored = bundle.manifest.output
    return float(np.abs(output - np.clip(expected / stored.scale + stored.zero_point, -128, 127)).max())


def check_same(differences: list[float]) -> None:
    most = np.percentile(differences, WITHIN_PERCENT)
    if most > MAX_DIFFERENCE_STEPS:
        raise SystemExit(
            f"numpy and the runtime differ by {most:.1f} quantisation steps in {100 - WITHIN_PERCENT} % of the rows, "
            f"{MAX_DIFFERENCE_STEPS} are allowed: this is not the same network"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", type=int, default=8, help="lives to go through (default 8, some 1,700 rows)")
    parser.add_argument("--model", default="turbofan", help="released name or bundle folder (default turbofan)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    bundle = read_bundle(find_bundle(arguments.model))
    figures = {
        f"{runtime.partition(' ')[0]}: {what}": {
            name: round(statistics.quantiles(seconds, n=100)[percent - 1] * 1e6, 1)
            for name, percent in (("p50_us", 50), ("p90_us", 90), ("p99_us", 99))
        }
        for runtime in installed()
        for what, seconds in measure(bundle, runtime, arguments.engines).items()
    }
    if arguments.json:
        print(json.dumps(figures))
        return
    print(LINE.format("", "p50 µs", "p90 µs", "p99 µs"))
    for what, percentiles in figures.items():
        print(LINE.format(what, *percentiles.values()))


if __name__ == "__main__":
    main()
