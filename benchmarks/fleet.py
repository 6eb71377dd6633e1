"""What the benchmark of ingest sends: telemetry of 24 channels and predictions with their input, row by row."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime

from benchmarks.mqtt_wire import publication
from shared.messages import ModelRef, Prediction, RulCycles, Telemetry, Window, encode, envelope

SITE = "hamburg"
CHANNELS = [f"S{number:02}" for number in range(1, 25)]
MODEL = ModelRef(name="turbofan", version="1.0.0", sha256="ab" * 32)
INPUT_BYTES = 150


def gateway_names(gateways: int) -> list[str]:
    return [f"gw-{number:03}" for number in range(gateways)]


def publications(
    kind: str, gateways: int, messages: int, records_each: int, run: str, cycles_before: int = 0
) -> list[bytes]:
    """PUBLISH packets, gateway by gateway in turn; each holds an envelope of the gateway's next records."""
    sources = {name: records(f"{run}-{name}", cycles_before) for name in gateway_names(gateways)}
    next_seqs = dict.fromkeys(sources, 2 * cycles_before + 1)
    packets = []
    for number in range(messages):
        name = list(sources)[number % gateways]
        seq = next_seqs[name]
        next_seqs[name] += records_each
        of_envelope = [(seq + offset, next(sources[name])) for offset in range(records_each)]
        topic = f"spoolwatch/v1/{SITE}/{name}/{kind}"
        packets.append(publication(topic, number, envelope(f"{run}-{name}", of_envelope)))
    return packets


def records(engine: str, cycle: int = 0) -> Iterator[bytes]:
    """A row and its prediction, for one cycle after another behind the given one."""
    chance = random.Random(f"{engine} {cycle}")
    while True:
        cycle += 1
        now = datetime.now(UTC)
        channels = {channel: round(chance.uniform(1, 2500), 4) for channel in CHANNELS}
        yield encode(Telemetry(engine=engine, cycle=cycle, observed_at=now, channels=channels))
        first = max(1, cycle - 29)
        yield encode(
            Prediction(
                engine=engine,
                cycle=cycle,
                observed_at=now,
                predicted_at=now,
                rul_cycles=RulCycles(mean=81.3071, q05=60.2113, q50=80.9034, q95=99.8127),
                cap_cycles=125.0,
                model=MODEL,
                runtime="tflite-runtime 2.14.0",
                window=Window(first_cycle=first, last_cycle=cycle, rows=cycle - first + 1),
                input=chance.randbytes(INPUT_BYTES),
            )
        )
