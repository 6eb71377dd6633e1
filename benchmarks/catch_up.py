"""How fast a gateway catches up after an outage while live rows keep coming, and how long those take meanwhile.

Method: the agent's outbox, delivery and link in this process; mosquitto and an aggregator over SQLite as programs of
their own. The outbox is filled with a backlog, then the link is opened while rows go on being accepted at an even rate.
Every row is telemetry and its prediction. Catch-up is rows of the backlog that were committed and acknowledged per
second, as a multiple of the live rate; latency is from a live row's acceptance to its acknowledgement.

    python -m benchmarks.catch_up --backlog-rows 50000 --rate 100
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from benchmarks.fleet import SITE, records
from benchmarks.programs import aggregator, mosquitto
from edge_agent.app import link_options
from edge_agent.budget import Budget
from edge_agent.delivery import Delivery
from edge_agent.in_flight import within
from edge_agent.mqtt import MqttLink
from edge_agent.outbox import Outbox
from edge_agent.settings import AgentSettings
from shared.messages import OutboxStatus, Session, SourceStatus, Status

ROWS_PER_COMMIT = 500
ENGINE = "E-1"
GATEWAY = "gw-1"


class TimedOutbox(Outbox):
    """Notes when live rows were accepted and when they were acknowledged."""

    def __init__(self, path):
        super().__init__(path)
        self.accepted_at_s = {}
        self.latencies_s = []

    def accept_live(self, telemetry, prediction):
        self.accepted_at_s[self.next_seq + 1] = time.monotonic()
        self.accept([telemetry], [prediction])

    def settle(self, ack, *, at):
        super().settle(ack, at=at)
        now_s = time.monotonic()
        for seq in within(ack.committed, self.accepted_at_s):
            self.latencies_s.append(now_s - self.accepted_at_s.pop(seq))


async def catch_up(outbox, rows, broker_port, backlog_rows, rate):
    """Seconds until the backlog was acknowledged, and the latencies of live rows meanwhile."""
    settings = AgentSettings(
        site=SITE,
        gateway=GATEWAY,
        engines=[{"serial": ENGINE}],
        source={"kind": "file", "path": "unused"},
        broker={"port": broker_port},
    )
    link = MqttLink(link_options(settings))
    budget = Budget(None, settings.data_dir, traffic_bytes=lambda: 0, now_s=time.time)
    delivery = Delivery(
        settings, outbox, link, status=status_of(outbox), budget=budget, progress=lambda: None, now_s=time.time
    )
    delivering = asyncio.create_task(delivery.run())
    began_s = due_s = time.monotonic()
    link.open()
    while outbox.waiting(1, 2 * backlog_rows, limit=1, at=time.time()):
        outbox.accept_live(next(rows), next(rows))
        delivery.send_waiting()
        due_s += 1 / rate
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
    took_s = time.monotonic() - began_s
    delivering.cancel()
    await asyncio.gather(delivering, return_exceptions=True)
    await link.close()
    return took_s


def status_of(outbox):
    session = Session(counter=1, boot_nonce="benchmark")

    def status(event):
        return Status(
            event=event,
            session=session,
            stream_id=outbox.stream_id,
            next_seq=outbox.next_seq,
            sent_at=datetime.now(UTC),
            heartbeat_interval_s=15,
            agent_version="benchmark",
            engines=[ENGINE],
            source=SourceStatus(kind="file", state="reading"),
            outbox=OutboxStatus(),
        )

    return status


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backlog-rows", type=int, default=50_000)
    parser.add_argument("--rate", type=float, default=100.0, help="live rows per second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = records(ENGINE)
        outbox = TimedOutbox(folder / "outbox.db")
        for _ in range(options.backlog_rows // ROWS_PER_COMMIT):
            block = list(islice(rows, 2 * ROWS_PER_COMMIT))
            outbox.accept(block[0::2], block[1::2])
        with mosquitto(folder) as broker_port, aggregator(folder, broker_port, None) as centre:
            centre.register(ENGINE, SITE, GATEWAY)
            took_s = asyncio.run(catch_up(outbox, rows, broker_port, options.backlog_rows, options.rate))
        outbox.close()
    backlog_rate = options.backlog_rows / took_s
    latencies_ms = sorted(1000 * latency for latency in outbox.latencies_s)
    print(f"backlog of {options.backlog_rows} rows acknowledged in {took_s:.1f} s: {backlog_rate:.0f} rows/s")
    print(f"live rows meanwhile: {options.rate:.0f}/s, {len(latencies_ms)} acknowledged")
    print(f"catch-up: {backlog_rate / options.rate:.1f} x the live rate")
    p95_ms = latencies_ms[int(0.95 * len(latencies_ms))]
    print(f"live row accepted -> acknowledged: median {statistics.median(latencies_ms):.0f} ms, p95 {p95_ms:.0f} ms")


if __name__ == "__main__":
    main()
