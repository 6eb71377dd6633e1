import asyncio

import pytest

from shared import cancellation


async def deaf(times):
    """As a library whose cancellation is swallowed so many times."""
    for _ in range(times):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue
    await asyncio.sleep(60)


async def failing():
    raise OSError("broken")


@pytest.mark.parametrize("times", [0, 1, 3])
async def test_a_task_is_cancelled_until_it_ends(monkeypatch, times):
    monkeypatch.setattr(cancellation, "REPEAT_S", 0.01)
    tasks = [asyncio.create_task(deaf(times)), asyncio.create_task(failing())]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await cancellation.end(*tasks)
    assert tasks[0].cancelled()
    assert isinstance(tasks[1].exception(), OSError)


async def test_what_a_task_does_as_it_ends_is_not_cut_short():
    done = []

    async def tidy():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            done.append("tidied")

    task = asyncio.create_task(tidy())
    await asyncio.sleep(0)
    await cancellation.end(task)
    assert done == ["tidied"]
