"""The loop: of several aggregators one sends; one that is killed loses nothing."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from aggregator import notify
from aggregator.notify.sender import Sender
from aggregator.store import news
from aggregator.store.notifications import take_due

DEADLINE_S = 60.0
PROGRAM = """
import asyncio, sys
from aggregator.access.sealing import Seal
from aggregator.notify.courier import Courier
from aggregator.notify.sender import Sender
from aggregator.store.database import Store
from datetime import UTC, datetime, timedelta
ahead = timedelta(seconds=float(sys.argv[3]))
now = lambda: datetime.now(UTC) + ahead
store = Store(sys.argv[1])
courier = Courier(Seal(bytes.fromhex(sys.argv[2])), "urn:x", None, now)
asyncio.run(Sender(store, courier, now).run(0.05))
"""


async def until(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


@pytest.fixture
def start(store, seal_key):
    """Starts a sender as a process of its own, whose clock is ahead by so much."""
    started = []

    def run(ahead_s=0):
        command = [sys.executable, "-c", PROGRAM, str(store.engine.url), seal_key.hex(), str(ahead_s)]
        started.append(subprocess.Popen(command))
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(DEADLINE_S)


async def test_p1_what_was_sent_before_a_kill_is_sent_again_under_the_same_id(webhooks, add, wear_out, start, told):
    await add("cmms", webhooks.url, priority="urgent")
    wear_out("ESN-1001")
    processes = [start()]
    webhooks.on_post = lambda: len(webhooks.got) == 1 and os.kill(processes[0].pid, signal.SIGKILL)
    await until(lambda: processes[0].poll() is not None, "it was killed as it posted")
    assert told() == [("waiting", 0, None)]
    processes.append(start(31))  # the lease of the one that was killed is over then
    await until(lambda: told() == [("sent", 0, None)], "another one sent it")
    assert len({headers["webhook-id"] for headers, _ in webhooks.got}) == 1
    assert len(webhooks.got) == 2


async def test_of_two_aggregators_one_sends(store, courier, clock, webhooks, add, wear_out, told):
    await add("cmms", webhooks.url)
    loops = [asyncio.create_task(Sender(store, courier, clock).run(0.01)) for _ in range(2)]
    await asyncio.to_thread(wear_out, *(f"ESN-{number}" for number in range(5)))
    await until(lambda: [state for state, _, _ in told()] == ["sent"] * 10, "all are sent")
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
    assert len(webhooks.got) == 10


async def test_one_that_hangs_holds_up_no_other_and_no_end(store, courier, clock, webhooks, add, wear_out, told):
    await add("hangs", webhooks.url, priority="urgent")
    await add("works", webhooks.url, priority="urgent")
    release = asyncio.Event()

    async def deliver(due, *lasts_until, real=courier.deliver):
        if due.receiver.name == "hangs":
            await release.wait()
        return await real(due, *lasts_until)

    courier.deliver = deliver
    loop = asyncio.create_task(Sender(store, courier, clock).run(0.01))
    await asyncio.to_thread(wear_out, "ESN-1")
    await until(lambda: "sent" in [state for state, _, _ in told()], "the other one is told")
    await asyncio.to_thread(wear_out, "ESN-2")
    await until(lambda: [state for state, _, _ in told()].count("sent") == 2, "and told again")
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(loop, DEADLINE_S)
    assert [state for state, _, _ in told()].count("waiting") == 2


async def test_a_flood_is_decided_in_portions_and_told_at_once(sender, store, add, wear_out, clock, monkeypatch):
    team, _ = await add("team", "json://127.0.0.1:1", "apprise")
    for module in (news, notify.sender):
        monkeypatch.setattr(module, "ROUTED_AT_ONCE", 4)
    wear_out("ESN-1", "ESN-2", "ESN-3")
    assert await asyncio.to_thread(sender.look) == [team]
    assert len(take_due(store, team, clock()).notifications) == 6


async def test_a_database_that_fails_is_asked_again(store, sender):
    with store.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE notification RENAME TO lost")
    assert sender.look() == []
    await sender.serve(1)
    with store.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE lost RENAME TO notification")
    assert sender.look() == []
