"""Measures the API over a fleet that has flown for long, beside a static answer of the same server in the same run."""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aggregator.store.database import open_store
from benchmarks.api.filling import Fleet, fill, serial_of
from benchmarks.programs import aggregator, mosquitto, postgresql

STATIC = "static answer"
AIM_P95_MS = 50.0
PACES = (0.8, 0.6, 0.4, 0.2, 0.1)
RATE = "SPOOLWATCH_AGGREGATOR_API__RATE"

Plan = dict[str, Any]


def questions(fleet: Fleet) -> dict[str, list[str]]:
    """What is asked; where it is about an engine, of many in turn."""
    chance = random.Random(1)
    serials = [serial_of(chance.randrange(fleet.engines)) for _ in range(500)]
    buckets = "predictions/buckets?buckets=500"
    latest = f"{buckets}&from_cycle={max(1, fleet.cycles - 99)}"
    return {
        STATIC: ["/health/live"],
        "fleet summary": ["/api/v1/fleet"],
        "list page": ["/api/v1/engines?sort=risk&limit=50"],
        "detail": [f"/api/v1/engines/{serial}" for serial in serials],
        "history, whole life": [f"/api/v1/engines/{serial}/{buckets}" for serial in serials],
        "history, last 100 cycles": [f"/api/v1/engines/{serial}/{latest}" for serial in serials],
        "due dates": ["/api/v1/fleet/due?before=2027-01-01&limit=50"],
    }


def measure(store: str, fleet: Fleet, clients: int, seconds: float) -> dict[str, object]:
    """Fill a store and ask the aggregator that serves it."""
    with tempfile.TemporaryDirectory() as name, postgresql() if store == "postgresql" else nullcontext() as url:
        folder = Path(name)
        (folder / "aggregator").mkdir()
        database_url = url or f"sqlite:///{folder / 'aggregator' / 'store.db'}"
        began = time.monotonic()
        filled = open_store(database_url, migrate="head")
        fill(filled, fleet, datetime.now(UTC))
        filled.close()
        return {"filled_in_s": time.monotonic() - began, **ask_all(folder, database_url, fleet, clients, seconds)}


def ask_all(folder: Path, database_url: str, fleet: Fleet, clients: int, seconds: float) -> dict[str, object]:
    """Put each question to an aggregator over a filled store.

    As fast as it is answered; each client once a second; and at a pace that the aggregator can keep.
    """
    result: dict[str, object] = {}
    with mosquitto(folder) as broker, aggregator(folder, broker, database_url) as centre:
        for question, paths in questions(fleet).items():
            plan: Plan = {"port": centre.api.base_url.port, "paths": paths, "clients": clients, "seconds": seconds}
            cpu_s = centre.cpu_s()
            saturated = ask(plan)
            cpu_ms = (centre.cpu_s() - cpu_s) / saturated["requests"] * 1000
            each_second = ask(plan | {"rate": float(clients)})
            answers = {"saturated": saturated | {"cpu_ms": cpu_ms}, "each_second": each_second}
            result[question] = answers | {"paced": pace(plan, saturated)}
    return result


def pace(plan: Plan, saturated: Mapping[str, float]) -> dict[str, float]:
    """The highest of some rates, as shares of what a saturated server answers, at which p95 is within the aim."""
    for share in PACES:
        rate = share * saturated["requests_per_s"]
        answered = {"rate": rate, **ask(plan | {"rate": rate})}
        if answered["p95_ms"] <= AIM_P95_MS:
            break
    return answered


def ask(plan: Plan) -> dict[str, float]:
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
