"""What networks and brokers do: cut, go silent, forget, repeat and reorder."""

import random
import time
from collections.abc import Iterator

from tests.crash_matrix.faults.kinds import fault
from tests.crash_matrix.plant import SPEAK_MQTT_3, Plant
from tests.crash_matrix.programs import wait_until

HALF_OPEN_MAX_S = 4.0
BACKLOG_ROWS = 120
SPLIT_S = 60.0


@fault("link-cut", "link")
def link_cut(plant: Plant, chance: random.Random) -> Iterator[None]:
    """The connections of a gateway are closed, and new ones too."""
    link = chance.choice(list(plant.gateways.values())).link
    link.cut()
    yield
    link.heal()


@fault("link-half-open", "link")
def link_half_open(plant: Plant, chance: random.Random) -> Iterator[None]:
    """Nothing gets through a gateway's connections, which stay open; they may come back to life, with a delay."""
    link = chance.choice(list(plant.gateways.values())).link
    comes_back = chance.random() < 0.5
    link.freeze()
    yield
    time.sleep(chance.uniform(0.0, HALF_OPEN_MAX_S))
    link.heal()
    if comes_back:
        link.thaw()


@fault("broker-queue", "broker", "aggregator", "store")
def broker_queue(plant: Plant, chance: random.Random) -> Iterator[None]:
    """The broker acknowledges what it then drops: its queue is tiny, nobody empties it, and it dies with it."""
    plant.broker.kill()
    plant.broker.bound(queued_messages=chance.randint(1, 20), inflight_messages=chance.randint(1, 5))
    plant.broker.start()
    time.sleep(chance.uniform(2.0, 4.0))  # everybody has connected again and something arrives
    plant.aggregator.hold()  # perhaps in the middle of a commit, so that nobody else can lock the store
    yield
    time.sleep(chance.uniform(1.0, 2.0))
    plant.broker.kill()
    plant.broker.bound()
    plant.aggregator.resume()
    plant.broker.start()


@fault("small-messages", "broker", "agent", "link", "aggregator", "store")
def small_messages(plant: Plant, chance: random.Random) -> Iterator[None]:
    """A backlog meets a broker that lets no large envelope through: they get no answer until they are split.

    To MQTT 3.1.1 clients mosquitto acknowledges what it drops for its size; those of MQTT 5 it throws out.
    """
    gateway = plant.gateways[chance.choice(SPEAK_MQTT_3)]
    gateway.link.cut()
    plant.broker.kill()
    plant.broker.bound(message_bytes=chance.randint(8, 64) * 1024)
    plant.broker.start()
    plant.feed.pause(gateway.name, paused=True)
    plant.feed.burst(gateway.name, BACKLOG_ROWS)
    yield
    gateway.link.heal()
    wait_until(lambda: gateway.unacked() == 0, SPLIT_S, f"{gateway.name} delivers its backlog in small envelopes")
    plant.feed.pause(gateway.name, paused=False)
    plant.broker.kill()
    plant.broker.bound()
    plant.broker.start()


@fault("repeated-delivery", "broker")
def repeated_delivery(plant: Plant, chance: random.Random) -> Iterator[None]:
    """Messages come twice, later and in another order."""
    plant.replayer.repeat(chance)
    yield
    plant.replayer.repeat(chance)
