"""A child process that asks an API from many connections at once, and says how long the answers took."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from itertools import cycle

HEAD_END = b"\r\n\r\n"


async def ask(port: int, paths: list[str], times: Iterator[float], took_ms: list[float]) -> int:
    """Ask one path after another over one connection, each as soon as its time has come.

    Args:
        port: on loopback.
        paths: what is asked in turn.
        times: when a question is due, by ``time.perf_counter``. One that is due before the last is answered waits,
            and this wait counts: whoever comes while the server is busy waits too.
        took_ms: gets how long each answer took, since its question was due.

    Returns:
        how many bytes came.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = 0
    for path, due in zip(cycle(paths), times, strict=False):
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        head = await reader.readuntil(HEAD_END)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{path}: {head.decode().splitlines()[0]}")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        received += len(await reader.readexactly(int(length.split(b":")[1])))
        took_ms.append((time.perf_counter() - due) * 1000)
    writer.close()
    return received


def as_fast_as_answered(until: float) -> Iterator[float]:
    """A question as soon as the one before is answered."""
    while (now := time.perf_counter()) < until:
        yield now


def paced(began: float, interval_s: float, until: float) -> Iterator[float]:
    """A question each interval, whether or not the server keeps up; those that it leaves undone at the end are left."""
    due = began
    while due < until and time.perf_counter() < until:
        yield due
        due += interval_s


async def measure(
    port: int, paths: list[str], clients: int, seconds: float, rate: float | None = None
) -> dict[str, float]:
    """Ask from so many clients at once, each beginning at another path; at a rate of all together, if there is one."""
    took_ms: list[float] = []
    began = time.perf_counter()
    until = began + seconds
    asking = []
    for number in range(clients):
        at = number * len(paths) // clients
        times = (
            as_fast_as_answered(until)
            if rate is None
            else paced(began + number / rate, interval_s=clients / rate, until=until)
        )
        asking.append(ask(port, paths[at:] + paths[:at], times, took_ms))
    received = await asyncio.gather(*asking)
    ordered = sorted(took_ms)
    percentiles = {f"p{share}_ms": ordered[int(len(ordered) * share / 100)] for share in (50, 95, 99)}
    answered_per_s = len(ordered) / (time.perf_counter() - began)
    return {
        "requests": len(ordered),
        "requests_per_s": answered_per_s,
        **percentiles,
        "bytes_each": sum(received) / len(ordered),
    }


if __name__ == "__main__":
    plan = json.load(sys.stdin)
    print(json.dumps(asyncio.run(measure(**plan))))
