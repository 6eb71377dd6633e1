"""Turns: callers come in turn, and one alone does not take all the room."""

import asyncio

import pytest

from aggregator import turns
from aggregator.turns import BusyError, TooManyWaitingError, Turns


async def test_another_callers_one_does_not_wait_behind_somebodys_many():
    line, machine, done = Turns(), asyncio.Lock(), []

    async def ask(caller):
        async with line.take(caller), machine:
            await asyncio.sleep(0)
            done.append(caller)

    await asyncio.gather(*[ask("many") for _ in range(5)], ask("one"))
    assert done == ["many", "one", "many", "many", "many", "many"]


async def test_who_has_too_much_waiting_is_refused_and_others_are_not(monkeypatch):
    monkeypatch.setattr(turns, "CALLER_WAITING_MAX", 1)
    monkeypatch.setattr(turns, "WAITING_MAX", 2)
    line = Turns()
    async with line.take("a"):
        with pytest.raises(TooManyWaitingError, match="1 predictions that you asked for"):
            await line.take("a").__aenter__()
        async with line.take("b"):
            with pytest.raises(BusyError, match="2 predictions wait"):
                await line.take("c").__aenter__()
    async with line.take("a"), line.take("c"):
        pass


async def test_a_failure_or_a_caller_who_leaves_ends_the_turn(monkeypatch):
    monkeypatch.setattr(turns, "CALLER_WAITING_MAX", 2)
    line = Turns()

    async def fail():
        async with line.take("a"):
            await asyncio.sleep(0)
            raise ValueError("failed")

    failing, leaving = asyncio.create_task(fail()), asyncio.create_task(line.take("a").__aenter__())
    await asyncio.sleep(0)
    leaving.cancel()
    ended = await asyncio.gather(failing, leaving, return_exceptions=True)
    assert [type(error) for error in ended] == [ValueError, asyncio.CancelledError]
    async with asyncio.timeout(60), line.take("a"):
        pass
