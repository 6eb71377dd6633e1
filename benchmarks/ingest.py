"""Measures ingest: committed and acknowledged records per second, beside a bare aiomqtt loop in the same run."""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from benchmarks.fleet import SITE, gateway_names
from benchmarks.programs import Aggregator, aggregator, child, mosquitto, postgresql

GATEWAYS = 20
RUN = "run"
LIVE = {"kind": "records", "gateways": GATEWAYS, "records_each": 1, "window": 8000, "by_centre": True}
BACKLOG = {"kind": "backfill", "gateways": GATEWAYS, "records_each": 370, "window": 8 * GATEWAYS, "by_centre": True}
PACED_PER_S = 5_100
SOAK_PER_S = 1_000
SOAK_MINUTE = LIVE | {"messages": 60 * SOAK_PER_S, "messages_per_s": SOAK_PER_S}
# An idle API is asked just often enough to notice a stalled loop, a busy one as 20 open pages would ask it.
IDLE = ("/health/live", 0.2)
BUSY = ("/api/v1/fleet", 0.05)
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}


class Probe(threading.Thread):
    """Asks the API again and again, and remembers how long it took and how much memory the program has."""

    def __init__(self, centre: Aggregator, path: str, interval_s: float) -> None:
        super().__init__(daemon=True)
        self._centre, self._path, self._interval_s = centre, path, interval_s
        self._ended = threading.Event()
        self.took_ms: list[float] = []
        self.rss_mib: list[float] = []

    def run(self) -> None:
        while not self._ended.wait(self._interval_s):
            began = time.perf_counter()
            self._centre.api.get(self._path).raise_for_status()
            self.took_ms.append((time.perf_counter() - began) * 1000)
            self.rss_mib.append(self._centre.rss_mib())

    def end(self) -> dict[str, float]:
        self._ended.set()
        self.join()
        ordered = sorted(self.took_ms)
        return {
            "api_p95_ms": ordered[int(len(ordered) * 0.95)],
            "api_max_ms": ordered[-1],
            "rss_first_mib": self.rss_mib[0],
            "rss_last_mib": self.rss_mib[-1],
            "rss_max_mib": max(self.rss_mib),
        }


def bare_loop(messages: int) -> dict[str, float]:
    """Messages per second that a bare loop takes and throws away."""
    with (
        tempfile.TemporaryDirectory() as folder,
        mosquitto(Path(folder)) as port,
        child(sys.executable, "-m", "benchmarks.bare_loop", port, messages, **PIPES) as loop,
    ):
        read_line(loop)
        generate(port, LIVE | {"messages": messages, "run": "bare", "by_centre": False})
        return {"records_per_s": float(read_line(loop))}


def generate(port: int, plan: dict[str, object]) -> dict[str, float]:
    """Let a generator carry out its plan."""
    with child(sys.executable, "-m", "benchmarks.generator", port, json.dumps(plan), **PIPES) as generator:
        read_line(generator)
        assert generator.stdin is not None  # noqa: S101  # it is a pipe
        generator.stdin.write("\n")
        generator.stdin.flush()
        answer: dict[str, float] = json.loads(read_line(generator))
    return answer


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None  # noqa: S101  # it is a pipe
    return process.stdout.readline()


@contextmanager
def centre_with_engines(store: str) -> Iterator[tuple[Aggregator, int]]:
    """An aggregator over a new store that knows the generator's engines, and its broker's port."""
    with (
        tempfile.TemporaryDirectory() as folder,
        postgresql() if store == "postgresql" else nullcontext() as url,
        mosquitto(Path(folder)) as port,
        aggregator(Path(folder), port, url) as centre,
    ):
        for name in gateway_names(GATEWAYS):
            centre.register(f"{RUN}-{name}", SITE, name)
        yield centre, port


def ingest(plan: dict[str, object], store: str, asked: tuple[str, float] = IDLE) -> dict[str, float]:
    """What an aggregator commits and acknowledges of a plan."""
    with centre_with_engines(store) as (centre, port):
        probe = Probe(centre, *asked)
        probe.start()
        cpu_before_s = centre.cpu_s()
        answer = generate(port, plan | {"run": RUN})
        cpu_s = centre.cpu_s() - cpu_before_s
        figures = probe.end()
    return {"records_per_s": answer["records_per_s"], "cpu_us_per_record": cpu_s / answer["acked"] * 1e6} | figures


def soak(store: str, minutes: int) -> dict[str, object]:
    """An even flow of live records, and what the centre takes, minute by minute."""
    rss_mib, cpu_s = [], []
    with centre_with_engines(store) as (centre, port):
        probe = Probe(centre, *IDLE)
        probe.start()
        for minute in range(minutes):
            cpu_before_s = centre.cpu_s()
            cycles_before = minute * 60 * SOAK_PER_S // GATEWAYS // 2
            generate(port, SOAK_MINUTE | {"run": RUN, "cycles_before": cycles_before})
            rss_mib.append(centre.rss_mib())
            cpu_s.append(centre.cpu_s() - cpu_before_s)
            print(f"{minute + 1:4} min: {rss_mib[-1]:.1f} MiB, {cpu_s[-1]:.1f} s of CPU", flush=True)
        figures = probe.end()
    return figures | {"rss_mib": rss_mib, "cpu_s": cpu_s}


def measure(live_messages: int, backlog_envelopes: int, stores: list[str]) -> dict[str, dict[str, float]]:
    """Everything, in one run; the bare loop before and after, because the machine may not be ours alone."""
    figures = {"bare loop": bare_loop(live_messages)}
    for store in stores:
        figures[f"live, {store}"] = ingest(LIVE | {"messages": live_messages}, store)
        paced = LIVE | {"messages": live_messages, "messages_per_s": PACED_PER_S}
        figures[f"beside API, {store}"] = ingest(paced, store, asked=BUSY)
        figures[f"backlog, {store}"] = ingest(BACKLOG | {"messages": backlog_envelopes}, store)
    again = bare_loop(live_messages)
    bare = (figures["bare loop"]["records_per_s"] + again["records_per_s"]) / 2
    figures["bare loop"]["records_per_s"] = bare
    for of_case in figures.values():
        of_case["of_bare_loop"] = of_case["records_per_s"] / bare
    return figures


def show(figures: dict[str, dict[str, float]]) -> None:
    """Print a table."""
    print(f"{'':24}{'records/s':>10}{'of bare':>9}{'CPU µs':>8}{'API p95':>9}{'max ms':>8}{'RSS MiB':>9}")
    for case, of_case in figures.items():
        line = f"{case:24}{of_case['records_per_s']:>10,.0f}{of_case['of_bare_loop']:>9.2f}"
        if "cpu_us_per_record" in of_case:
            line += f"{of_case['cpu_us_per_record']:>8.1f}{of_case['api_p95_ms']:>9.1f}"
            line += f"{of_case['api_max_ms']:>8.0f}{of_case['rss_max_mib']:>9.0f}"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--live", type=int, default=60_000, help="messages of one record")
    parser.add_argument("--backlog", type=int, default=800, help="envelopes of 370 records")
    parser.add_argument("--store", choices=["sqlite", "postgresql"], help="only this one")
    parser.add_argument("--soak", type=int, metavar="MINUTES", help=f"instead: {SOAK_PER_S} live records/s, with RSS")
    arguments = parser.parse_args()
    stores = [arguments.store] if arguments.store else ["sqlite", "postgresql"]
    if arguments.soak:
        print(json.dumps({f"soak, {store}": soak(store, arguments.soak) for store in stores}, indent=2))
        return
    figures = measure(arguments.live, arguments.backlog, stores)
    print(json.dumps(figures, indent=2)) if arguments.json else show(figures)


if __name__ == "__main__":
    main()
