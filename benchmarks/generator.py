"""A child process that publishes prepared envelopes as fast as it may, and counts what is acknowledged."""

import json
import sys
import time
from typing import Any

from benchmarks.fleet import publications
from benchmarks.mqtt_wire import PUBACK, PUBLISH, Wire
from shared.messages import Ack, decode

BURST = 50


def main(port: int, plan: dict[str, Any]) -> None:
    """Prepare, print ``ready``, wait for a line, send, and print what came of it as JSON."""
    window, by_centre, rate = plan.pop("window"), plan.pop("by_centre"), plan.pop("messages_per_s", None)
    packets = publications(**plan)
    records_each = plan["records_each"]
    wire = Wire(port, f"generator-{plan['run']}")
    wire.subscribe("spoolwatch/v1/+/+/ack")
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    acked = _send(wire, packets, records_each, window, by_centre=by_centre, pace=Pace(rate))
    took_s = time.perf_counter() - began
    print(json.dumps({"acked": acked, "took_s": took_s, "records_per_s": acked / took_s}), flush=True)
    wire.close()


def _send(wire: Wire, packets: list[bytes], records_each: int, window: int, *, by_centre: bool, pace: "Pace") -> int:
    """Keep as many messages unanswered as the window allows, until the centre, or just the broker, answered all."""
    sent = answered = 0
    while answered < len(packets) * records_each:
        room = min(BURST, window - (sent - answered // records_each))
        if room > 0 and sent < len(packets):
            pace.wait(sent)
            wire.write(b"".join(packets[sent : sent + room]))
            sent += room
            if sent < len(packets) and sent - answered // records_each < window:
                continue
        for kind, body in wire.packets():
            if kind == PUBLISH:
                answered += _committed(decode(wire.acknowledge(body), Ack))
            elif kind == PUBACK and not by_centre:
                answered += records_each
    return answered


class Pace:
    """Holds a sender to so many messages per second; to any number without a rate."""

    def __init__(self, messages_per_s: float | None) -> None:
        self._per_s = messages_per_s
        self._began = time.perf_counter()

    def wait(self, sent: int) -> None:
        if self._per_s is not None:
            time.sleep(max(0.0, self._began + sent / self._per_s - time.perf_counter()))


def _committed(ack: Ack) -> int:
    if ack.conflict or ack.quarantined or ack.deferred:
        raise SystemExit(f"the centre does not take what was sent: {ack}")
    return sum(last - first + 1 for first, last in ack.committed)


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
