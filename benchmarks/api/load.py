"""A child process that asks an API from many connections at once, and says how long the answers took."""

import asyncio
import json
import sys
import time

HEAD_END = b"\r\n\r\n"


async def ask(host: str, port: int, paths: list[str], until: float, took_ms: list[float]) -> int:
    """Ask one path after another over one connection until the time is over; returns how many bytes came."""
    reader, writer = await asyncio.open_connection(host, port)
    received = number = 0
    while time.perf_counter() < until:
        path = paths[number % len(paths)]
        number += 1
        began = time.perf_counter()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        head = await reader.readuntil(HEAD_END)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{path}: {head.decode().splitlines()[0]}")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        received += len(await reader.readexactly(int(length.split(b":")[1])))
        took_ms.append((time.perf_counter() - began) * 1000)
    writer.close()
    return received


async def measure(port: int, paths: list[str], clients: int, seconds: float) -> dict[str, float]:
    """Ask from so many clients at once; each begins at another path."""
    took_ms: list[float] = []
    began = time.perf_counter()
    turns = [paths[number % len(paths) :] + paths[: number % len(paths)] for number in range(clients)]
    received = await asyncio.gather(*(ask("127.0.0.1", port, turn, began + seconds, took_ms) for turn in turns))
    ordered = sorted(took_ms)
    percentiles = {f"p{share}_ms": ordered[int(len(ordered) * share / 100)] for share in (50, 95, 99)}
    rate = len(ordered) / (time.perf_counter() - began)
    return {"requests_per_s": rate, **percentiles, "bytes_each": sum(received) / len(ordered)}


if __name__ == "__main__":
    plan = json.load(sys.stdin)
    print(json.dumps(asyncio.run(measure(**plan))))
