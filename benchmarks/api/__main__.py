"""Measures the API over a fleet that has flown for long, beside a static answer of the same server in the same run."""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from aggregator.store.database import open_store
from benchmarks.api.filling import Fleet, fill, serial_of
from benchmarks.programs import aggregator, mosquitto, postgresql

STATIC = "static answer"
RATE = "SPOOLWATCH_AGGREGATOR_API__RATE"


def questions(fleet: Fleet) -> dict[str, list[str]]:
    """What is asked; where it is about an engine, of many in turn."""
    chance = random.Random(1)
    serials = [serial_of(chance.randrange(fleet.engines)) for _ in range(500)]
    buckets = "predictions/buckets?buckets=500"
    return {
        STATIC: ["/health/live"],
        "fleet summary": ["/api/v1/fleet"],
        "list page": ["/api/v1/engines?sort=risk&limit=50"],
        "detail": [f"/api/v1/engines/{serial}" for serial in serials],
        "history, 500 points": [f"/api/v1/engines/{serial}/{buckets}" for serial in serials],
        "due this week": ["/api/v1/fleet/due?before=2030-01-01&limit=50"],
    }


def measure(store: str, fleet: Fleet, clients: int, seconds: float) -> dict[str, object]:
    """Fill a store and ask the aggregator that serves it."""
    with tempfile.TemporaryDirectory() as name, postgresql() if store == "postgresql" else nullcontext() as url:
        folder = Path(name)
        (folder / "aggregator").mkdir()
        began = time.monotonic()
        filled = open_store(url or f"sqlite:///{folder / 'aggregator' / 'store.db'}", migrate="head")
        fill(filled, fleet, datetime.now(UTC))
        filled.close()
        result: dict[str, object] = {"filled_in_s": time.monotonic() - began}
        with mosquitto(folder) as broker, aggregator(folder, broker, url) as centre:
            port = centre.api.base_url.port
            for question, paths in questions(fleet).items():
                plan = {"port": port, "paths": paths, "clients": clients, "seconds": seconds}
                cpu_s = centre.cpu_s()
                answers = ask(plan)
                result[question] = answers | {"cpu_share": (centre.cpu_s() - cpu_s) / seconds}
    return result


def ask(plan: dict[str, object]) -> dict[str, float]:
    """Let another process ask, so that it takes nothing of the server's interpreter."""
    command = [sys.executable, "-m", "benchmarks.api.load"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, input=json.dumps(plan))
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api", description=__doc__)
    parser.add_argument("--store", choices=["sqlite", "postgresql"], action="append", help="both without it")
    parser.add_argument("--engines", type=int, default=10_000)
    parser.add_argument("--predictions", type=int, default=10_000_000)
    parser.add_argument("--telemetry", type=int, default=1_000_000, help="rows, of the last cycles")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each question")
    arguments = parser.parse_args()
    os.environ[RATE] = "999999999/second"
    fleet = Fleet(arguments.engines, arguments.predictions, arguments.telemetry)
    for store in arguments.store or ["sqlite", "postgresql"]:
        print(store, json.dumps(measure(store, fleet, arguments.clients, arguments.seconds), indent=2), flush=True)


if __name__ == "__main__":
    main()
