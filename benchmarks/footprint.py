"""What an agent takes of its gateway: memory, CPU, time to start, and what it writes to flash.

Method: ``spoolwatch-agent run`` as a process of its own, connected to mosquitto, by --agent from an environment that
holds ``requirements/agent.txt`` and nothing else (what is imported depends on what is installed). Memory is VmRSS of
/proc/PID/status, CPU time utime + stime, written bytes write_bytes of /proc/PID/io: pages that the system is to write
to the disk for it, without the file system's own. A folder in memory would count nothing.

*Start*: from exec to the first row accepted, which lies in the file; byte code is there. *File*: an aggregator answers,
rows come one by one at 1 and at 100 a second, --seconds each; memory is what it is after all of them. *Other sources*:
the simulated hardware of one engine gives --speed samples a second, in cycles of 60; memory and CPU after and over
--seconds. *Flash*: over --flash-seconds, without a row, a row a second from a file, and a sample a second over TCP;
scaled to a day.

    python -m benchmarks.footprint --agent /opt/spoolwatch/bin/spoolwatch-agent
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from benchmarks.programs import BIN, aggregator, child, mosquitto
from edge_agent.outbox import Outbox, OutboxError
from simulators.engine_model import SimulatedEngine

DAY_S = 86_400
DEADLINE_S = 60.0
SETTLE_S = 5.0
LINE = "{:<34} {:>12} {:>12} {:>12} {:>14}"


class Agent:
    """A running agent, as the system sees it."""

    def __init__(self, process, folder):
        self._proc, self._outbox = Path(f"/proc/{process.pid}"), folder / "outbox.db"

    def rss_mib(self):
        lines = (self._proc / "status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024

    def cpu_s(self):
        fields = (self._proc / "stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def written_bytes(self):
        fields = dict(line.split(": ") for line in (self._proc / "io").read_text().splitlines())
        return int(fields["write_bytes"])

    def records(self):
        """How many it has accepted so far."""
        try:
            outbox = Outbox(self._outbox, read_only=True)
        except OutboxError:
            return 0
        try:
            return outbox.next_seq - 1
        finally:
            outbox.close()

    def share(self, seconds):
        """Of a core, over the next so many seconds."""
        begun = self.cpu_s()
        time.sleep(seconds)
        return (self.cpu_s() - begun) / seconds


@contextmanager
def agent(program, folder, broker_port, *options):
    command = (program, "run", "--data-dir", folder / "state", "--broker.port", broker_port, *options)
    with (folder / "agent.log").open("a") as log, child(*command, stdout=log, stderr=log) as process:
        yield Agent(process, folder / "state")


def file_options(folder, gateway="gw-1"):
    source = json.dumps({"kind": "file", "path": str(folder / "rows.txt"), "follow": True})
    return ("--site", "benchmark", "--gateway", gateway, "--engines", '[{"serial": "E-1"}]', "--source", source)


class Feed:
    """Rows of one engine after another, appended to a file."""

    def __init__(self, folder):
        self._file = (folder / "rows.txt").open("a")
        self._rows = (row for seed in count() for row in SimulatedEngine("E-1", seed=seed).rows())
        self._cycle = count(1)

    def give(self, rows, per_s=None):
        begun = time.perf_counter()
        for index in range(rows):
            _, values, _ = next(self._rows)
            print(1, next(self._cycle), *values, file=self._file, flush=True)
            if per_s:
                time.sleep(max(0, begun + (index + 1) / per_s - time.perf_counter()))


def wait_for(condition, what):
    until = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > until:
            raise SystemExit(f"{what}: not within {DEADLINE_S:g} s")
        time.sleep(0.02)


def starts(program, folder, broker_port, times=3):
    """Wall and CPU seconds from exec to the first row accepted; the best of several starts of fresh agents."""
    found = []
    for number in range(times):
        fresh = folder / f"start-{number}"
        fresh.mkdir()
        Feed(fresh).give(1)
        begun = time.perf_counter()
        with agent(program, fresh, broker_port, *file_options(fresh, f"gw-start-{number}")) as one:
            wait_for((fresh / "state" / "outbox.db").exists, "an outbox")
            wait_for(lambda one=one: one.records() > 0, "the first row")
            found.append((time.perf_counter() - begun, one.cpu_s()))
    return min(found)


def follow_file(program, folder, broker_port, seconds):
    """CPU shares at 1 and at 100 rows a second, and memory after that."""
    feed, shares = Feed(folder), []
    with agent(program, folder, broker_port, *file_options(folder)) as one:
        for rate in (1, 100):
            feed.give(rate, rate)
            wait_for(lambda: one.records() > 0, "the first row")
            begun_s, begun = one.cpu_s(), time.perf_counter()
            feed.give(int(rate * seconds), rate)
            shares.append((one.cpu_s() - begun_s) / (time.perf_counter() - begun))
        time.sleep(SETTLE_S)
        return shares, one.rss_mib()


@contextmanager
def hardware(folder, protocol, broker_port, speed):
    """The simulated hardware, and what an agent needs to read it."""
    options = ("--port", 0, "--speed", speed, "--data-dir", folder, "--broker-port", broker_port)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with child(BIN / "spoolwatch-simulate", "hardware", "--protocol", protocol, *options, **quiet):
        wait_for((folder / "agent.toml").exists, "the hardware")
        yield ("--config", folder / "agent.toml", "--broker.mqtt-version", 5)


def read_hardware(program, folder, protocol, broker_port, speed, seconds):
    """CPU share over these seconds, memory and samples after them."""
    with (
        hardware(folder, protocol, broker_port, speed) as options,
        agent(program, folder, broker_port, *options, "--gateway", f"gw-{protocol}") as one,
    ):
        wait_for(lambda: (folder / "state").exists() and one.records() > 0, "the first row")
        return one.share(seconds), one.rss_mib()


def written_a_day(program, folder, broker_port, seconds):
    """Bytes: without a row, of a row a second from a file, and of a sample a second over TCP."""
    idle, file, tcp = (folder / name for name in ("idle", "file", "tcp"))
    with ExitStack() as stack:
        agents = []
        for one in (idle, file, tcp):
            one.mkdir()
        Feed(idle)
        feed = Feed(file)
        for one, gateway in ((idle, "gw-idle"), (file, "gw-1")):
            agents.append(stack.enter_context(agent(program, one, broker_port, *file_options(one, gateway))))
        options = stack.enter_context(hardware(tcp, "tcp", broker_port, 1))
        agents.append(stack.enter_context(agent(program, tcp, broker_port, *options, "--gateway", "gw-tcp-flash")))
        feed.give(10, 1)
        before = [one.written_bytes() for one in agents]
        feed.give(seconds, 1)
        after = [one.written_bytes() for one in agents]
    return [(later - earlier) / seconds * DAY_S for earlier, later in zip(before, after, strict=True)]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", type=Path, default=BIN / "spoolwatch-agent", help="the program")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--flash-seconds", type=int, default=300)
    parser.add_argument("--speed", type=float, default=20.0, help="samples a second of the simulated hardware")
    parser.add_argument(
        "--folder", type=Path, default=None, help="where files are made, on a disk (default: a new one)"
    )
    arguments = parser.parse_args(argv)
    program = arguments.agent
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        (folder / "file").mkdir()
        with mosquitto(folder) as port, aggregator(folder, port, None) as centre:
            centre.register("E-1", "benchmark", "gw-1")
            wall_s, cpu_s = starts(program, folder, port)
            print(f"start to the first row accepted: {wall_s:.2f} s, of CPU {cpu_s:.2f} s", flush=True)
            print(LINE.format("source", "RSS MiB", "CPU 1 row/s", "CPU 100/s", "CPU samples"), flush=True)
            (slow, fast), rss = follow_file(program, folder / "file", port, arguments.seconds)
            print(LINE.format("file", f"{rss:.1f}", f"{slow:.1%}", f"{fast:.1%}", ""), flush=True)
            for protocol in ("tcp", "modbus", "opcua", "mqtt"):
                (folder / protocol).mkdir()
                share, rss = read_hardware(
                    program, folder / protocol, protocol, port, arguments.speed, arguments.seconds
                )
                print(LINE.format(protocol, f"{rss:.1f}", "", "", f"{share:.1%}"), flush=True)
            (folder / "flash").mkdir()
            by_file, by_tcp = written_a_day(program, folder / "flash", port, arguments.flash_seconds)
            print(
                f"written a day: {by_file / 1e6:,.0f} MB at a row a second, {by_tcp / 1e6:,.0f} MB at a sample a second"
            )


if __name__ == "__main__":
    main()
