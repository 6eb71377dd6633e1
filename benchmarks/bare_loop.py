"""The yardstick of ingest: an aiomqtt loop on the default event loop that throws its messages away."""

import asyncio
import sys
import time

import aiomqtt


async def count(port: int, messages: int) -> None:
    """Print ``ready``, take that many messages, and print how many came per second."""
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("spoolwatch/v1/+/+/records", qos=1)
        print("ready", flush=True)
        taken, began = 0, 0.0
        async for _ in client.messages:
            began = began or time.perf_counter()
            taken += 1
            if taken == messages:
                break
        print(taken / (time.perf_counter() - began), flush=True)


if __name__ == "__main__":
    asyncio.run(count(int(sys.argv[1]), int(sys.argv[2])))
