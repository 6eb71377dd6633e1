"""The end of asyncio tasks that use libraries."""

import asyncio
from typing import Any

REPEAT_S = 5.0
"""Long enough for what a task does as it ends."""


async def end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel until each has ended; what they returned or raised is dropped.

    Once is not enough: before Python 3.12, ``asyncio.wait_for`` swallows a cancellation that comes at the moment in
    which what it waits for is done (cpython issue 86296), and libraries use it.
    """
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=REPEAT_S)
    await asyncio.gather(*tasks, return_exceptions=True)
