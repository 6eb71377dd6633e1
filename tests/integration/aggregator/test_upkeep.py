"""The loop that keeps the store in order: it does what is due, outlives what fails, and ends when told to."""

import asyncio
from contextlib import suppress

import pytest
from sqlalchemy import text

from aggregator.store.commands import KEPT as KEPT_COMMANDS
from aggregator.store.commands import issue, list_commands
from aggregator.store.lease import take_lease
from aggregator.store.reads.gateways import find_gateway
from aggregator.store.retention import TASK, Retention
from aggregator.upkeep import Upkeep
from shared.messages import RestartSource

KEPT = 150


@pytest.fixture
def rows(store):
    def read():
        with store.engine.connect() as connection:
            return connection.scalar(text("SELECT count(*) FROM telemetry"))

    return read


@pytest.fixture
def upkeep(store, recorder, clock):
    recorder.register("E1")
    recorder.send(*(recorder.row("E1", cycle) for cycle in range(1, 201)))
    clock.advance(2 * 86_400)
    return Upkeep(store, Retention(telemetry_days=1), clock)


async def _run(upkeep, until):
    task = asyncio.create_task(upkeep.run())
    async with asyncio.timeout(60):
        while not until():
            await asyncio.sleep(0.01)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_what_is_due_is_pruned_at_once(upkeep, rows):
    await _run(upkeep, lambda: rows() == KEPT)


async def test_it_ends_between_two_transactions(upkeep, rows):
    await _run(upkeep, lambda: True)
    assert rows() in (200, KEPT)


def test_while_another_prunes_it_leaves_it_to_them(upkeep, store, clock, rows):
    take_lease(store, TASK, "another", clock())
    upkeep.keep_up()
    assert rows() == 200


def test_what_fails_is_tried_another_time(upkeep, store, rows):
    with store.writing() as connection:
        connection.execute(text("ALTER TABLE lease RENAME TO away"))
    upkeep.keep_up()
    with store.writing() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO lease"))
    upkeep.keep_up()
    assert rows() == KEPT


def test_old_commands_are_forgotten_whatever_is_kept_of_the_records(store, recorder, clock):
    recorder.register("E1", gateway="gw-1")
    with store.session() as session:
        gateway, _ = find_gateway(session, "gw-1")
    issue(store, gateway, RestartSource(), clock(), clock.in_(60))
    clock.advance(KEPT_COMMANDS.total_seconds() + 1)
    Upkeep(store, Retention(), clock).keep_up()
    with store.session() as session:
        assert list_commands(session, gateway) == []
