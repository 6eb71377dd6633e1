"""The same outages against Mosquitto's bridge and against Spoolwatch: what was accepted, and what came of it.

Method: rows numbered from 1 are given to the gateway at an even rate for a while before, during and after an outage.
A row counts as accepted when the gateway's broker has acknowledged its PUBLISH with QoS 1, or when it is in the file
that the agent follows. What arrived is counted at the centre, by a subscriber with a persistent session or by SQL over
the store. Lost is what was accepted and had not arrived when nothing new had come for so long that none of these
programs still waits to try again. Drained is from the end of the outage until the last row accepted before it was in.

    python -m benchmarks.bridge --rate 200 --outage-s 15
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.gateway import Feed
from benchmarks.outage import Way, bridge, spoolwatch

BEFORE_S = AFTER_S = 5.0
RESTART_S = 1.0
QUIET_S = 35.0  # a bridge with its defaults waits up to 30 s before it connects again
LATE_S = 2.0
LOOK_S = 0.1

WAYS: dict[str, Callable[[ExitStack, Path], Way]] = {
    "bridge, defaults": partial(bridge, tuned=False),
    "bridge, tuned": partial(bridge, tuned=True),
    "spoolwatch, file": partial(spoolwatch, source="file"),
    "spoolwatch, mqtt": partial(spoolwatch, source="mqtt"),
}


@dataclass(frozen=True)
class Outcome:
    """What came of one outage.

    Attributes:
        accepted: rows that the gateway took over.
        arrived: how many of those have come to the centre.
        lost: how many have not.
        duplicates: how often the centre got a row that it had.
        drained_s: from the end of the outage until it had every row accepted before; None where some never came.
        written_mb: what the programs at the gateway wrote to files, in 10^6 bytes.
    """

    accepted: int
    arrived: int
    lost: int
    duplicates: int
    drained_s: float | None
    written_mb: float


def cut_link(way: Way, outage_s: float) -> None:
    way.link.cut()
    time.sleep(outage_s)
    way.link.heal()


def cut_link_and_kill_gateway(way: Way, outage_s: float) -> None:
    """Two thirds into the outage every program at the gateway is killed, and started again as systemd would."""
    way.link.cut()
    time.sleep(outage_s * 2 / 3)
    for program in way.gateway:
        program.kill()
    time.sleep(RESTART_S)
    for program in way.gateway:
        program.start()
    time.sleep(outage_s / 3 - RESTART_S)
    way.link.heal()


def kill_broker(way: Way, outage_s: float) -> None:
    way.broker.kill()
    time.sleep(outage_s)
    way.broker.start()


OUTAGES = {
    "link cut": cut_link,
    "link cut, gateway killed": cut_link_and_kill_gateway,
    "central broker killed": kill_broker,
}


def play(way: Way, outage: Callable[[Way, float], None], rate: float, outage_s: float) -> Outcome:
    """Let rows flow through an outage and count."""
    feed = Feed(way.rows.give, rate)
    feed.start()
    time.sleep(BEFORE_S)
    outage(way, outage_s)
    drained_s = _drain(way, feed)
    time.sleep(LATE_S)
    accepted, arrived = way.rows.accepted, way.arrived()
    return Outcome(
        accepted=len(accepted),
        arrived=len(accepted & arrived.keys()),
        lost=len(accepted - arrived.keys()),
        duplicates=arrived.total() - len(arrived),
        drained_s=drained_s,
        written_mb=sum(program.written_bytes for program in way.gateway) / 1e6,
    )


def _drain(way: Way, feed: Feed) -> float | None:
    """Wait until all has arrived, or nothing does any more; returns when the rows due at the start had."""
    due = way.rows.accepted
    began_s = news_s = time.monotonic()
    arrived: set[int] = set()
    drained_s = None
    while time.monotonic() < news_s + QUIET_S:
        time.sleep(LOOK_S)
        now_s, here = time.monotonic(), set(way.arrived())
        if here != arrived:
            arrived, news_s = here, now_s
        if drained_s is None and due <= arrived:
            drained_s = now_s - began_s
        if feed.is_alive() and now_s > began_s + AFTER_S:
            feed.end()
        if not feed.is_alive() and feed.given_at_s.keys() == way.rows.accepted and way.rows.accepted <= arrived:
            break
    return drained_s


def show(figures: dict[str, dict[str, Outcome]]) -> None:
    """Print a table."""
    for outage, of_outage in figures.items():
        print(f"{outage:26}{'accepted':>9}{'arrived':>9}{'lost':>7}{'twice':>7}{'drained s':>11}{'MB written':>12}")
        for way, one in of_outage.items():
            drained = "never" if one.drained_s is None else f"{one.drained_s:.1f}"
            counts = f"{one.accepted:>9}{one.arrived:>9}{one.lost:>7}{one.duplicates:>7}"
            print(f"  {way:24}{counts}{drained:>11}{one.written_mb:>12,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bridge", description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=200.0, help="rows per second")
    parser.add_argument("--outage-s", type=float, default=15.0, help="how long each outage lasts")
    parser.add_argument("--way", choices=list(WAYS), action="append", help="only this one; repeatable")
    parser.add_argument("--outage", choices=list(OUTAGES), action="append", help="only this one; repeatable")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    figures: dict[str, dict[str, Outcome]] = {}
    for outage in arguments.outage or OUTAGES:
        for way in arguments.way or WAYS:
            with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
                outcome = play(WAYS[way](stack, Path(folder)), OUTAGES[outage], arguments.rate, arguments.outage_s)
            figures.setdefault(outage, {})[way] = outcome
            print(f"{outage}, {way}: {outcome}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({name: {way: asdict(one) for way, one in ways.items()} for name, ways in figures.items()}))
    else:
        show(figures)
    print(f"load average at the end: {' '.join(f'{load:.1f}' for load in os.getloadavg())}", file=sys.stderr)


if __name__ == "__main__":
    main()
