"""What the centre publishes, and in which order."""

import asyncio
import contextlib
from datetime import UTC, datetime

import aiomqtt
import pytest
import structlog

from aggregator.ingest import connection
from aggregator.ingest.acks import PendingAcks
from aggregator.ingest.connection import PUBLISHES_AT_ONCE, Connection, Identity
from aggregator.ingest.desired import DesiredMessages
from aggregator.ingest.inbox import Inbox, Letter
from aggregator.ingest.orders import PendingOrders
from aggregator.ingest.status import IngestStatus
from aggregator.store.arrivals import Answer, Outcome
from shared import cancellation
from shared.messages import Resend
from shared.topics import GatewayTopic

MANY = 20 * PUBLISHES_AT_ONCE
ACK = GatewayTopic("hamburg", "gw-1", "ack")
COMMAND = GatewayTopic("hamburg", "gw-1", "command")


def outcome_of(acks, orders):
    """A batch after which so many acks and orders are to be published."""
    outcome = Outcome()
    for number in range(acks):
        outcome.answer(ACK, f"stream-{number}").add(Answer(conflict="cloned"))
    order = Resend(stream_id="stream-1", ranges=[], store_epoch="one")
    outcome.orders += [(COMMAND, order)] * orders
    return outcome


class Centre:
    """A connection without batches: the test is what commits."""

    def __init__(self, broker, key, store):
        self.status, self.changed, self.inbox = IngestStatus(), asyncio.Event(), Inbox(max_messages=1)
        self.pending, self.orders = PendingAcks(), PendingOrders(key)
        desired = DesiredMessages(store, "one", key)
        self.connection = Connection(
            broker, Identity("a", "one"), self.inbox, self.pending, self.orders, desired, self.status, self.changed
        )

    def commits(self, outcome, *, accepting):
        self.pending.add(outcome)
        self.orders.add(outcome)
        self.status.accepting = accepting
        self.changed.set()


@pytest.fixture
def centre_at(command_key, running, store):
    @contextlib.asynccontextmanager
    async def run(broker):
        centre = Centre(broker, command_key, store)
        async with running(centre.connection):
            yield centre

    return run


async def test_to_hold_back_is_told_before_what_waits_and_to_go_on_after_all_acks(
    external, centre_at, gateway_at, eventually
):
    async with gateway_at(external.port) as gateway, centre_at(external) as centre:
        await eventually(lambda: gateway.accepting == [True])
        centre.commits(outcome_of(acks=MANY, orders=100), accepting=False)
        await eventually(lambda: gateway.acks or gateway.commands)
        assert gateway.accepting == [True, False]

        centre.status.accepting = True
        await eventually(lambda: gateway.accepting == [True, False, True])
        assert len(gateway.acks) == MANY


async def test_each_replica_says_its_status_again_and_again_with_the_time(
    external, centre_at, gateway_at, eventually, monkeypatch
):
    monkeypatch.setattr(connection, "TOLD_AGAIN_S", 0.0)
    monkeypatch.setattr(connection, "IDLE_S", 0.01)
    async with gateway_at(external.port) as gateway, centre_at(external) as centre:
        await eventually(lambda: len(gateway.accepting) > 2)
        centre.status.accepting = False
        await eventually(lambda: gateway.accepting[-2:] == [False, False])


@pytest.mark.parametrize("waiting", [{"acks": MANY, "orders": 0}, {"acks": 0, "orders": 200}])
async def test_to_hold_back_does_not_wait_behind_much_that_is_being_published(
    external, centre_at, gateway_at, eventually, waiting
):
    async with gateway_at(external.port) as gateway, centre_at(external) as centre:
        await eventually(lambda: gateway.accepting == [True])
        centre.commits(outcome_of(**waiting), accepting=True)
        await eventually(lambda: gateway.acks or gateway.commands)
        centre.status.accepting = False
        await eventually(lambda: gateway.accepting == [True, False])
        assert len(gateway.acks) + len(gateway.commands) < sum(waiting.values())
        await eventually(lambda: len(gateway.acks) + len(gateway.commands) == sum(waiting.values()))


async def test_a_replica_that_connects_says_that_it_accepts_though_acks_come_faster_than_they_go_out(
    external, centre_at, gateway_at, eventually
):
    async with gateway_at(external.port) as gateway, centre_at(external) as centre:

        def has_said_so_while_more_comes():
            centre.commits(outcome_of(acks=2 * PUBLISHES_AT_ONCE, orders=0), accepting=True)
            return gateway.accepting == [True]

        await eventually(has_said_so_while_more_comes)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("call", ["subscribe", "publish"])
async def test_it_ends_though_a_call_to_the_library_swallows_the_cancellation(
    external, centre_at, eventually, monkeypatch, call
):
    monkeypatch.setattr(cancellation, "REPEAT_S", 0.1)
    real, called = getattr(aiomqtt.Client, call), asyncio.Event()

    async def deaf(self, *arguments, **options):
        result = await real(self, *arguments, **options)
        if not called.is_set():
            called.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
        return result

    monkeypatch.setattr(aiomqtt.Client, call, deaf)
    async with centre_at(external):
        await eventually(called.is_set)


async def test_p4_drops_are_told_of_while_they_last(external, centre_at, gateway_at, eventually):
    """Nothing is ever taken out of the inbox here."""
    async with gateway_at(external.port) as gateway, centre_at(external) as centre:
        await eventually(lambda: centre.status.connected)
        centre.inbox.put(Letter("spoolwatch/v1/hamburg/gw-1/records", b"x", datetime.now(UTC)))
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                await gateway.publish(b"x")
            await eventually(lambda: any(entry["event"] == "messages_dropped" for entry in logs))
            for _ in range(3):
                await gateway.publish(b"x")
            await eventually(lambda: centre.status.dropped_messages == 6)
    told = [entry for entry in logs if entry["event"] == "messages_dropped"]
    assert len(told) == 1
    assert 0 < told[0]["messages"] <= 3
