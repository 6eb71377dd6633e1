"""How fast rows become durable at the agent, and what a running agent takes of its gateway.

Method: one process on one core (the core it starts on); C-MAPSS-like rows of the engine model; the outbox file in
--folder, which should be on the disk in question, for fsync is what is measured. Flat out: the source has every row
ready, and rows/s is rows over wall time; on a shared machine CPU time per row says more. At a rate: rows come one by
one at even times, and latency is from the moment the source had the row to the return of the commit that made it
durable. Last, ``spoolwatch-agent run`` itself follows a file, connected to mosquitto: CPU time over --seconds without
a row, then its memory after --seconds of rows at --rate. What is imported depends on what is installed, so --agent
names that of an environment of its own.

    python -m benchmarks.outbox --rows 20000 --rate 100 --seconds 20 --agent /opt/spoolwatch/bin/spoolwatch-agent
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path

from benchmarks.programs import BIN, child, mosquitto
from edge_agent.cycle_settings import CycleSettings
from edge_agent.outbox import Outbox
from edge_agent.pipeline import Pipeline
from edge_agent.ports import Batch
from edge_agent.reduction import Reduction
from edge_agent.ring import Ring
from edge_agent.settings import OutboxSettings
from edge_agent.status import SourceGauge
from shared.cmapss import CHANNELS
from shared.predictor import find_bundle, load_bundle
from shared.reduce import channel_rules
from shared.rows import SensorRow
from simulators.engine_model import SimulatedEngine

START_S = 4.0
LINE = "{:<44} {:>10} {:>10} {:>10} {:>10}"


def engine_rows(count):
    """Rows of as many engines as it takes, life after life."""
    rows = []
    seed = 0
    while len(rows) < count:
        seed += 1
        for cycle, values, _ in islice(SimulatedEngine(f"E-{seed}", seed=seed).rows(), count - len(rows)):
            rows.append(SensorRow(f"E-{seed}", cycle, datetime.now(UTC), dict(zip(CHANNELS, values, strict=True))))
    return rows, [f"E-{number}" for number in range(1, seed + 1)]


class TimedSource:
    """Gives rows in batches, flat out or at a rate, and notes how long each took to become durable."""

    kind = "benchmark"

    def __init__(self, rows, *, batch_rows, rate=None):
        self.rows = rows
        self._batch_rows = batch_rows
        self._rate = rate
        self.latencies_s = []
        self.all_durable = asyncio.Event()

    async def batches(self, cursor):
        begun_s = time.perf_counter()
        for index in range(0, len(self.rows), self._batch_rows):
            if self._rate:
                await asyncio.sleep(max(0, begun_s + index / self._rate - time.perf_counter()))
            batch = self.rows[index : index + self._batch_rows]
            yield Batch(batch, cursor=str(index), receipts=(time.perf_counter(),))

    def accepted(self, batch):
        self.latencies_s += [time.perf_counter() - batch.receipts[0]] * len(batch.readings)
        if len(self.latencies_s) == len(self.rows):
            self.all_durable.set()


async def run_pipeline(folder, predictor, engines, source):
    """Rows per second from first row to the commit of the last, and CPU time per row in µs."""
    outbox = Outbox(Path(folder) / "outbox.db")
    gauge = SourceGauge(source.kind)
    ring = Ring(Path(folder) / "samples.db", max_bytes=64 * 2**20, disk_reserve_bytes=0, now=lambda: datetime.now(UTC))
    pipeline = Pipeline(
        source,
        predictor,
        outbox,
        engines,
        gauge,
        accepted=lambda: None,
        progress=lambda: None,
        now=lambda: datetime.now(UTC),
        commit=OutboxSettings(),
        reduction=Reduction(CycleSettings(), channel_rules(predictor.manifest), engines, ring, outbox.cycle_place),
    )
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
    task = asyncio.create_task(pipeline.run())
    await source.all_durable.wait()
    took_s, took_cpu_s = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    unacked = outbox.status().unacked
    outbox.close()
    if unacked != 2 * len(source.rows):
        raise SystemExit(
            f"{unacked} records in the outbox instead of {2 * len(source.rows)}: these figures mean nothing"
        )
    return len(source.rows) / took_s, 1e6 * took_cpu_s / len(source.rows)


def run_outbox(folder, rows, batch_rows):
    """The outbox alone: telemetry and prediction of the usual size, and one engine's state per commit."""
    outbox = Outbox(Path(folder) / "outbox.db")
    telemetry, prediction, state = b"t" * 600, b"p" * 800, b"s" * 3000
    latencies_s = []
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
    for index in range(0, rows, batch_rows):
        step_s = time.perf_counter()
        outbox.accept([telemetry] * batch_rows, [prediction] * batch_rows, cursor=str(index), states={"E-1": state})
        latencies_s += [time.perf_counter() - step_s] * batch_rows
    took_s, took_cpu_s = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
    outbox.close()
    return rows / took_s, 1e6 * took_cpu_s / rows, latencies_s


def run_agent(folder, agent, rows, rate, seconds):
    """Share of a core that an idle agent takes, and its memory in MB after rows; the core is not pinned."""
    source = folder / "rows.txt"
    source.touch()
    with mosquitto(folder) as broker_port:
        settings = {
            "--site": "benchmark",
            "--gateway": "gw-1",
            "--data-dir": folder / "agent",
            "--engines": '[{"serial": "E-1"}]',
            "--source": json.dumps({"kind": "file", "path": str(source), "follow": True}),
            "--broker.port": broker_port,
        }
        with child(agent, "run", *chain(*settings.items()), stderr=subprocess.DEVNULL) as process:
            time.sleep(START_S)
            begun_s = cpu_s(process.pid)
            time.sleep(seconds)
            idle = (cpu_s(process.pid) - begun_s) / seconds
            with source.open("a") as lines:
                for cycle, row in enumerate(rows[: int(rate * seconds)], start=1):
                    print(1, cycle, *row.channels.values(), file=lines, flush=True)
                    time.sleep(1 / rate)
            time.sleep(START_S)
            status = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    unacked = Outbox(folder / "agent" / "outbox.db", read_only=True).status().unacked
    if unacked != 2 * int(rate * seconds):
        raise SystemExit(f"the agent has {unacked} records: these figures mean nothing")
    return idle, {name: int(status[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon", "RssFile")}


def cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(what, rows_per_s, cpu_us, latencies_s):
    cuts = statistics.quantiles(latencies_s, n=100)
    figures = f"{rows_per_s:,.0f}", f"{cpu_us:.0f}", f"{cuts[49] * 1000:.2f}", f"{cuts[98] * 1000:.2f}"
    print(LINE.format(what, *figures), flush=True)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000, help="rows of the runs flat out")
    parser.add_argument("--rate", type=float, default=100.0, help="rows per second of the run at a rate")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the run at a rate")
    parser.add_argument("--folder", type=Path, default=None, help="where outbox files are made (default: a new one)")
    parser.add_argument("--agent", type=Path, default=BIN / "spoolwatch-agent", help="the program that is run last")
    arguments = parser.parse_args(argv)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    predictor = load_bundle(find_bundle("turbofan"))
    print(
        LINE.format(f"{predictor.runtime}, Python {sys.version.split()[0]}", "rows/s", "CPU µs/row", "p50 ms", "p99 ms")
    )
    for batch_rows in (1, 64, 500):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            rows = arguments.rows if batch_rows > 1 else arguments.rows // 10
            report(f"outbox alone, {batch_rows} rows a commit", *run_outbox(folder, rows, batch_rows))
    rows, engines = engine_rows(arguments.rows)
    for what, source in (
        ("pipeline flat out, batches of 64", TimedSource(rows, batch_rows=64)),
        (
            f"pipeline at {arguments.rate:g} rows/s",
            TimedSource(rows[: int(arguments.rate * arguments.seconds)], batch_rows=1, rate=arguments.rate),
        ),
    ):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            report(what, *asyncio.run(run_pipeline(folder, predictor, engines, source)), source.latencies_s)
    os.sched_setaffinity(0, cores)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        idle, memory_mib = run_agent(Path(folder), arguments.agent, rows, arguments.rate, arguments.seconds)
    print(f"agent idle: {idle:.2%} of a core; memory after rows, MiB:", {k: round(v, 1) for k, v in memory_mib.items()})


if __name__ == "__main__":
    main()
