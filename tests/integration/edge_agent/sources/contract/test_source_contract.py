"""What every source promises, whatever its protocol: see ``edge_agent.ports.SensorSource``."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from edge_agent.ports import RefusedRow
from shared.errors import SourceError
from shared.rows import SensorRow


class Reading:
    """A source that is being read: its batches are taken as they come, in a task of their own."""

    def __init__(self, source, cursor=None):
        self.source = source
        self.batches = []
        self._more = asyncio.Event()
        self.task = asyncio.create_task(self._read(cursor))

    async def _read(self, cursor):
        try:
            async for batch in self.source.batches(cursor):
                self.batches.append(batch)
                self._more.set()
        finally:
            self._more.set()

    @property
    def readings(self):
        return [reading for batch in self.batches for reading in batch.readings]

    @property
    def values(self):
        return [value_of(reading) for reading in self.readings if not isinstance(reading, RefusedRow)]

    async def until(self, condition):
        async with asyncio.timeout(60):
            while not condition():
                if self.task.done():
                    await self.task
                    raise AssertionError("the source has ended")
                self._more.clear()
                await self._more.wait()

    async def failure(self):
        async with asyncio.timeout(60):
            with pytest.raises(SourceError) as failed:
                await self.task
        return str(failed.value)


@asynccontextmanager
async def read(rig, cursor=None):
    reading = Reading(rig.source(), cursor)
    try:
        yield reading
    finally:
        async with asyncio.timeout(60):
            while not reading.task.done():
                reading.task.cancel()  # a library may take one for its own
                await asyncio.wait({reading.task}, timeout=0.1)


@asynccontextmanager
async def reached(rig, cursor=None):
    """A source that was opened on hardware in reach, and hears it."""
    async with read(rig, cursor) as reading:
        await reading.until(lambda: reading.batches)
        async with asyncio.timeout(60):
            await rig.listened_to()
        yield reading


def value_of(reading):
    return reading.cycle if isinstance(reading, SensorRow) else int(reading.channels["T24"])


async def give(rig, reading, *numbers):
    """Give some readings, each once the source has had the one before."""
    for number in numbers:
        await rig.give(number)
        await reading.until(lambda number=number: number in reading.values)


async def test_readings_come_in_order_with_engine_time_and_what_they_were_read_from(rig):
    await rig.come()
    async with reached(rig) as reading:
        await give(rig, reading, 1, 2, 3)
    readings = [one for one in reading.readings if value_of(one) > 0]
    assert [value_of(one) for one in readings] == [1, 2, 3]
    assert {one.engine for one in readings} == {"E-1"}
    assert all(one.observed_at.tzinfo is not None and one.raw for one in readings)
    assert rig.source().kind


async def test_batches_come_while_nothing_does(rig):
    await rig.come()
    async with reached(rig) as reading:
        before = len(reading.batches)
        began_s = asyncio.get_running_loop().time()
        await reading.until(lambda: len(reading.batches) >= before + 3)
        took_s = asyncio.get_running_loop().time() - began_s
    assert all(isinstance(batch.readings, list) for batch in reading.batches)
    assert took_s < 30  # three within three seconds are promised, and this machine may be busy


async def test_hardware_out_of_reach_is_a_failure_that_says_so(rig):
    async with read(rig) as reading:
        assert await reading.failure()
    assert reading.readings == []


async def test_hardware_that_goes_is_a_failure_and_is_read_again_when_it_is_back(rig):
    await rig.come()
    source = rig.source()
    for number in (1, 2):
        reading = Reading(source)
        await reading.until(lambda reading=reading: reading.batches)
        async with asyncio.timeout(60):
            await rig.listened_to()
        await give(rig, reading, number)
        for batch in reading.batches:
            source.accepted(batch)
        await rig.go()
        assert await reading.failure()
        await rig.come()


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe\x00garbage", b"[1, 2]", b'"T24"', b"{}", b"x" * 5000])
async def test_garbage_is_refused_with_its_bytes_and_reason_and_what_follows_is_read(rig, raw):
    if not rig.takes_garbage:
        return
    await rig.come()
    async with reached(rig) as reading:
        await rig.give_raw(raw)
        await give(rig, reading, 1)
    [refused] = [one for one in reading.readings if isinstance(one, RefusedRow)]
    assert raw in refused.raw
    assert refused.reason


async def test_readings_of_a_strange_engine_are_refused(rig):
    if not rig.names_engines:
        return
    await rig.come()
    async with reached(rig) as reading:
        await rig.give_strange()
        await give(rig, reading, 1)
    [refused] = [one for one in reading.readings if isinstance(one, RefusedRow)]
    assert "none of this gateway's engines" in refused.reason


async def test_p1_what_was_not_accepted_comes_again_after_a_restart_and_what_was_does_not(rig):
    if not rig.waits:
        return
    await rig.come()
    async with reached(rig) as first:
        await give(rig, first, 1)
        for batch in first.batches:
            first.source.accepted(batch)
        cursors = [batch.cursor for batch in first.batches if batch.cursor]
        await give(rig, first, 2)
    async with read(rig, cursors[-1] if cursors else None) as second:
        await second.until(lambda: 2 in second.values)
    assert second.values == [2]


async def test_a_source_that_is_closed_leaves_no_task_behind(rig):
    await rig.come()
    before = asyncio.all_tasks()
    async with reached(rig) as reading:
        await give(rig, reading, 1)
    async with asyncio.timeout(60):
        while left := asyncio.all_tasks() - before:
            if {task.get_name() for task in left} and all("serve" in str(task.get_coro()) for task in left):
                break  # the test's own server
            await asyncio.sleep(0.01)
