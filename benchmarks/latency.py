"""How long a row takes from its source to its commit at the centre: real agent, mosquitto and aggregator.

Method: rows are given at an even rate; the clock of a row starts just before it is written to the file that the agent
follows, or published to the broker that the agent reads. It stops when another connection to the store sees both the
row and its prediction; that connection looks again and again, and a look's time is taken after it has answered. So the
error is one look at most, and always to the disadvantage of the figure; how long looks were apart is printed with it.
Where the time goes comes from times that the records carry: predicted at the gateway, received by the centre.

    python -m benchmarks.latency --rate 100 --seconds 30
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import StaticPool

from benchmarks.gateway import (
    ENGINE,
    GATEWAY,
    ROWS_TOPIC,
    SITE,
    Feed,
    RowFile,
    RowPublisher,
    agent_settings,
    keep_rows_for,
)
from benchmarks.programs import BIN, aggregator, child, mosquitto, postgresql

LOOK_PAUSE_S = 0.001
WARM_UP_S = 3.0
DRAIN_S = 10.0
SOURCES = ("file", "mqtt")
STORES = ("sqlite", "postgresql")
NEW_RECORDS = text(
    "SELECT 'telemetry', id, cycle, received_at, received_at FROM telemetry WHERE id > :telemetry "
    "UNION ALL SELECT 'prediction', id, cycle, predicted_at, received_at FROM prediction WHERE id > :prediction"
)


@dataclass
class Seen:
    """What looks at the store have seen, by number of the row; times are of the monotonic clock.

    Attributes:
        complete_at_s: when a row and its prediction were first seen together.
        predicted_at_s: when the agent made the prediction.
        received_at_s: when the centre received it.
        looks_s: how long each look came after the one before.
    """

    complete_at_s: dict[int, float] = field(default_factory=dict)
    predicted_at_s: dict[int, float] = field(default_factory=dict)
    received_at_s: dict[int, float] = field(default_factory=dict)
    looks_s: list[float] = field(default_factory=list)


class Watch:
    """Looks at a store through a connection of its own."""

    def __init__(self, connection: Connection) -> None:
        self.seen = Seen()
        self._connection = connection
        self._last_ids = {"telemetry": 0, "prediction": 0}
        self._halves: set[int] = set()
        self._looked_at_s: float | None = None
        self._wall_clock_ahead_s = time.time() - time.monotonic()

    def look(self) -> None:
        """Note what is new."""
        rows = self._connection.execute(NEW_RECORDS, self._last_ids).all()
        self._connection.rollback()  # the next look is to see what was committed since
        now_s = time.monotonic()
        for table, row_id, number, made_at, received_at in rows:
            self._last_ids[table] = max(row_id, self._last_ids[table])
            if table == "prediction":
                self.seen.predicted_at_s[number] = self._monotonic_s(made_at)
                self.seen.received_at_s[number] = self._monotonic_s(received_at)
            if number in self._halves:
                self.seen.complete_at_s[number] = now_s
            self._halves.add(number)
        if self._looked_at_s is not None:
            self.seen.looks_s.append(now_s - self._looked_at_s)
        self._looked_at_s = now_s

    def _monotonic_s(self, at: datetime | str) -> float:
        aware = datetime.fromisoformat(at) if isinstance(at, str) else at
        return (aware if aware.tzinfo else aware.replace(tzinfo=UTC)).timestamp() - self._wall_clock_ahead_s


@contextmanager
def watching(url: str) -> Iterator[Watch]:
    """Watch a store."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=StaticPool)
    with engine.connect() as connection:
        yield Watch(connection)
    engine.dispose()


def measure(source: str, store: str, rate: float, seconds: float) -> dict[str, float]:
    """Latencies of one source into one store."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(postgresql() if store == "postgresql" else nullcontext(None))
        port = stack.enter_context(mosquitto(folder))
        stack.enter_context(aggregator(folder, port, url)).register(ENGINE, SITE, GATEWAY)
        rows, settings = _source(source, folder, stack)
        stack.callback(rows.close)
        configuration = agent_settings(folder, port, settings)
        agent = (BIN / "spoolwatch-agent", "run", "--config", configuration, "--log-level", "WARNING")
        stack.enter_context(child(*agent))
        watch = stack.enter_context(watching(url or f"sqlite:///{folder / 'aggregator' / 'store.db'}"))
        feed = Feed(rows.give, rate)
        feed.start()
        _look_until(watch, feed, WARM_UP_S + seconds)
    return _figures(feed.given_at_s, watch.seen, int(WARM_UP_S * rate))


def _source(kind: str, folder: Path, stack: ExitStack) -> tuple[RowFile | RowPublisher, dict[str, object]]:
    """What rows are given to, and the settings with which the agent takes them."""
    if kind == "file":
        path = folder / "rows.txt"
        return RowFile(path), {"kind": "file", "path": str(path), "follow": True}
    hardware = folder / "hardware"
    hardware.mkdir()
    port = stack.enter_context(mosquitto(hardware))
    keep_rows_for(GATEWAY, port)
    return RowPublisher(port), {"kind": "mqtt", "topic": ROWS_TOPIC, "port": port, "client_id": GATEWAY}


def _look_until(watch: Watch, feed: Feed, seconds: float) -> None:
    began_s = time.monotonic()
    while time.monotonic() < began_s + seconds:
        watch.look()
        time.sleep(LOOK_PAUSE_S)
    feed.end()
    while len(watch.seen.complete_at_s) < len(feed.given_at_s):
        if time.monotonic() > began_s + seconds + DRAIN_S:
            raise SystemExit(f"{len(watch.seen.complete_at_s)} of {len(feed.given_at_s)} rows have arrived")
        watch.look()
        time.sleep(LOOK_PAUSE_S)


def _figures(given_at_s: dict[int, float], seen: Seen, skipped: int) -> dict[str, float]:
    numbers = [number for number in given_at_s if number > skipped]
    spans_s = {
        "total": [seen.complete_at_s[one] - given_at_s[one] for one in numbers],
        "to_prediction": [seen.predicted_at_s[one] - given_at_s[one] for one in numbers],
        "to_centre": [seen.received_at_s[one] - seen.predicted_at_s[one] for one in numbers],
        "to_commit": [seen.complete_at_s[one] - seen.received_at_s[one] for one in numbers],
        "look": seen.looks_s,
    }
    figures: dict[str, float] = {"rows": len(numbers)}
    for name, spans in spans_s.items():
        ordered = sorted(spans)
        for percent in (50, 95, 99):
            figures[f"{name}_p{percent}_ms"] = round(1000 * ordered[len(ordered) * percent // 100], 1)
    return figures


def show(figures: dict[str, dict[str, float]]) -> None:
    """Print a table."""
    print(f"{'':18}{'rows':>6}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}   p50/p95 ms of each part")
    for case, of_case in figures.items():
        parts = [
            f"{words} {of_case[f'{name}_p50_ms']:.0f}/{of_case[f'{name}_p95_ms']:.0f}"
            for name, words in (("to_prediction", "predicted"), ("to_centre", "received"), ("to_commit", "committed"))
        ]
        look = f"looks apart p50/p99 {of_case['look_p50_ms']:.1f}/{of_case['look_p99_ms']:.1f}"
        totals = "".join(f"{of_case[f'total_p{percent}_ms']:>9.0f}" for percent in (50, 95, 99))
        print(f"{case:18}{of_case['rows']:>6.0f}{totals}   {', '.join([*parts, look])}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=100.0, help="rows per second")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long rows are measured, after a warm-up")
    parser.add_argument("--source", choices=SOURCES, help="only this one")
    parser.add_argument("--store", choices=STORES, help="only this one")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    figures = {
        f"{source}, {store}": measure(source, store, arguments.rate, arguments.seconds)
        for source in ([arguments.source] if arguments.source else SOURCES)
        for store in ([arguments.store] if arguments.store else STORES)
    }
    print(json.dumps(figures, indent=2)) if arguments.json else show(figures)
    load = " ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"load average at the end: {load}", file=sys.stderr)


if __name__ == "__main__":
    main()
