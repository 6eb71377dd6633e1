"""Between the inbox and the store: when gateways are asked to hold back."""

import asyncio
import contextlib
import threading
from datetime import UTC, datetime

import pytest

from aggregator.ingest.acks import PendingAcks
from aggregator.ingest.batches import BATCH_BYTES, SLOW_COMMIT_S, Batches
from aggregator.ingest.inbox import Inbox, Letter
from aggregator.ingest.orders import PendingOrders
from aggregator.ingest.status import IngestStatus
from aggregator.store.database import Store
from shared.messages import encode, envelope

MANY = 100


class GatedStore(Store):
    """A store whose transactions wait at a gate, which lets as many through as it is told to."""

    def __init__(self, database_url):
        super().__init__(database_url)
        self.gate = threading.Semaphore(0)

    @contextlib.contextmanager
    def writing(self):
        self.gate.acquire()
        with super().writing() as connection:
            yield connection


@pytest.fixture
def gated(store):
    """A second way into the store, closed at first."""
    gated = GatedStore(store.engine.url.render_as_string())
    yield gated
    gated.close()


@pytest.fixture
def letter(recorder):
    recorder.register("E1")

    def spell(seq):
        payload = envelope("stream-1", [(seq, encode(recorder.row("E1", seq)))])
        return Letter("spoolwatch/v1/hamburg/gw-1/records", payload, datetime.now(UTC))

    return spell


@pytest.fixture
def batches_of(gated, bound, command_key, running):
    """Run the batches of an inbox; ends with the gate open, because a thread waits at it."""

    @contextlib.asynccontextmanager
    async def run(inbox):
        status, changed = IngestStatus(), asyncio.Event()
        pending, orders = PendingAcks(), PendingOrders(command_key)
        async with running(Batches(gated, bound, inbox, pending, orders, status, changed)):
            try:
                yield status
            finally:
                gated.gate.release(MANY)

    return run


async def test_gateways_hold_back_while_one_commit_takes_long(gated, batches_of, letter, eventually):
    inbox = Inbox()
    inbox.put(letter(1))
    async with batches_of(inbox) as status:
        began_at = asyncio.get_running_loop().time()
        await eventually(lambda: not status.accepting)
        assert asyncio.get_running_loop().time() - began_at >= SLOW_COMMIT_S
        assert "one commit takes longer than 5 s" in status.problem
        gated.gate.release(MANY)
        await eventually(lambda: status.accepting)
        assert (status.problem, status.committed_records) == (None, 1)


async def test_gateways_hold_back_while_much_waits_and_go_on_when_little_does(gated, batches_of, letter, eventually):
    inbox = Inbox(max_messages=10)
    inbox.put(letter(1))
    async with batches_of(inbox) as status:
        await eventually(lambda: len(inbox) == 0)  # the first batch is on its way and waits at the gate
        for number in range(8):
            inbox.put(Letter("noise", b"%d" % number * BATCH_BYTES, datetime.now(UTC)))
        await eventually(lambda: not status.accepting)
        assert status.problem == "more comes in than the store takes: 8 messages wait"
        for committed in range(4):
            gated.gate.release()
            await eventually(lambda records=committed: status.quarantined_records == records)
            assert not status.accepting
        gated.gate.release(MANY)
        await eventually(lambda: status.accepting)
        assert status.problem is None
        assert len(inbox) <= 1
