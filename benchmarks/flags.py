"""How well flags name what is wrong with sensors: recall by kind of fault, and false alarms on healthy ones.

Method: simulated hardware in the one process, without a network: flights at one sample a second, sensor faults by
chance, samples reduced and judged as the agent does it, and the flags of the predictor's step on each row. A faulty
cycle of a channel counts as *flagged* if its row has any flag of that channel, and as *named* if one of those that the
kind of fault ought to give. False alarms are counted on as many engines without any fault: cycles of channels, and
whole rows, with any flag.

    python -m benchmarks.flags --engines 20 --fault-rate 0.03 --json
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from shared.cmapss import CHANNELS, SUBSETS
from shared.messages import Flags
from shared.predictor import Predictor, find_bundle, load_bundle
from shared.quality import (
    DRIFT,
    MISSING,
    OUT_OF_RANGE,
    SOME_MISSING,
    SOME_OUT_OF_RANGE,
    SOME_STUCK,
    SPIKE,
    STUCK,
)
from shared.reduce import Limits, channel_rules, reduce_cycles
from shared.rows import SensorRow
from simulators.hardware.agent_settings import STUCK_SAMPLES
from simulators.hardware.engine import EngineHardware, HardwareOptions
from simulators.hardware.faults import FaultPlan

NAMES = {
    "stuck": {STUCK, SOME_STUCK},
    "drift": {DRIFT, OUT_OF_RANGE, SOME_OUT_OF_RANGE},
    "spike": {SPIKE},
    "dropout": {MISSING, SOME_MISSING},
}
START = datetime(2026, 1, 1, tzinfo=UTC)
LINE = "{:<10} {:>8} {:>9} {:>9}"


def flown(engine: EngineHardware, predictor: Predictor, *, limited: bool) -> Iterator[tuple[int, Flags]]:
    """Cycle and flags of every row that an agent makes of an engine's samples."""
    limits = {name: Limits(stuck_samples=STUCK_SAMPLES) for name in engine.noisy_channels} if limited else {}
    rules = channel_rules(predictor.manifest, limits)
    columns = [CHANNELS.index(rule.name) for rule in rules]
    samples = list(engine.samples())
    reduced = reduce_cycles(
        rules,
        np.array([sampled.number for sampled in samples], np.float64),
        np.array([sampled.cycle for sampled in samples]),
        np.array([sampled.values for sampled in samples])[:, columns],
    )
    state = predictor.new_state()
    for cycle, values, told in zip(reduced.cycles.tolist(), reduced.values.tolist(), reduced.flags, strict=True):
        channels = dict(zip((rule.name for rule in rules), values, strict=True))
        yield cycle, predictor.step(state, SensorRow(engine.serial, cycle, START, channels, flags=told)).flags


def score(options: HardwareOptions, engines: int, *, limited: bool) -> dict[str, dict[str, float]]:
    """Recall by kind of fault."""
    predictor = load_bundle(find_bundle("turbofan"))
    faulty: Counter[str] = Counter()
    flagged: Counter[str] = Counter()
    named: Counter[str] = Counter()
    for unit in range(1, engines + 1):
        engine = EngineHardware(unit, f"E-{unit:03d}", options)
        for cycle, flags in flown(engine, predictor, limited=limited):
            for fault in engine.truth(cycle, 0, START).sensor:
                raised = set(flags.get(fault.channel, ()))
                faulty[fault.kind] += 1
                flagged[fault.kind] += bool(raised)
                named[fault.kind] += bool(raised & NAMES[fault.kind])
    return {
        kind: {"cycles": faulty[kind], "flagged": flagged[kind] / faulty[kind], "named": named[kind] / faulty[kind]}
        for kind in NAMES
        if faulty[kind]
    }


def false_alarms(options: HardwareOptions, engines: int, *, limited: bool) -> dict[str, float]:
    """How often a healthy channel, and a row of healthy channels, is flagged; what a row tells of itself is not."""
    predictor = load_bundle(find_bundle("turbofan"))
    rows = flagged_rows = flagged_channels = 0
    for unit in range(1, engines + 1):
        engine = EngineHardware(unit, f"E-{unit:03d}", replace(options, fault_rate=0.0))
        for _, flags in flown(engine, predictor, limited=limited):
            wrong = flags.keys() & set(CHANNELS)
            rows += 1
            flagged_rows += bool(wrong)
            flagged_channels += len(wrong)
    return {"rows": rows, "of_rows": flagged_rows / rows, "of_channels": flagged_channels / rows / len(CHANNELS)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", type=int, default=20)
    parser.add_argument("--subset", choices=SUBSETS, default=SUBSETS[0])
    parser.add_argument("--flight-s", type=int, default=60)
    parser.add_argument("--fault-rate", type=float, default=0.03)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    options = HardwareOptions(
        seed=arguments.seed,
        subset=arguments.subset,
        flight_s=arguments.flight_s,
        fault_rate=arguments.fault_rate,
        plan=FaultPlan(),
    )
    found = {
        f"stuck_samples = {STUCK_SAMPLES}" if limited else "manifest alone": {
            "recall": score(options, arguments.engines, limited=limited),
            "false_alarms": false_alarms(options, arguments.engines, limited=limited),
        }
        for limited in (False, True)
    }
    if arguments.json:
        print(json.dumps(found, indent=1))
        return
    for settings, figures in found.items():
        print(f"{settings}\n" + LINE.format("fault", "cycles", "flagged", "named"))
        for kind, one in figures["recall"].items():
            print(LINE.format(kind, one["cycles"], f"{one['flagged']:.1%}", f"{one['named']:.1%}"))
        alarms = figures["false_alarms"]
        print(
            f"false alarms in {alarms['rows']} healthy rows: {alarms['of_rows']:.2%} of rows, "
            f"{alarms['of_channels']:.3%} of channels\n"
        )


if __name__ == "__main__":
    main()
