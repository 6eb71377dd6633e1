"""``kill -9`` of each program and of all together, and the power cut of a gateway."""

import random
import time
from collections.abc import Iterator

from tests.crash_matrix.faults.kinds import fault
from tests.crash_matrix.gateway import Gateway
from tests.crash_matrix.plant import Plant
from tests.crash_matrix.programs import Program

REPEATS = 3


@fault("agent-kill", "agent")
def agent_kill(plant: Plant, chance: random.Random) -> Iterator[None]:
    """An agent dies, perhaps again while it starts."""
    gateway = chance.choice(list(plant.gateways.values()))
    gateway.kill()
    yield
    for _ in range(chance.randrange(REPEATS)):
        gateway.start()
        time.sleep(chance.uniform(0.0, 1.5))
        gateway.kill()
    gateway.start()


@fault("power-cut", "agent")
def power_cut(plant: Plant, chance: random.Random) -> Iterator[None]:
    """A gateway loses power, perhaps again while it starts: only what was fsynced is sure to be there."""
    gateway = chance.choice(list(plant.gateways.values()))
    gateway.cut_power(chance)
    yield
    for _ in range(chance.randrange(REPEATS)):
        gateway.start()
        time.sleep(chance.uniform(0.2, 2.5))
        gateway.cut_power(chance)
    gateway.start()


@fault("broker-kill", "broker")
def broker_kill(plant: Plant, chance: random.Random) -> Iterator[None]:
    """The broker dies and with it all that it had queued."""
    plant.broker.kill()
    yield
    plant.broker.start()
    if chance.random() < 0.5:
        time.sleep(chance.uniform(0.0, 1.0))
        plant.broker.kill()
        plant.broker.start()


@fault("aggregator-kill", "aggregator")
def aggregator_kill(plant: Plant, chance: random.Random) -> Iterator[None]:
    """The aggregator dies, perhaps again while it starts."""
    plant.aggregator.kill()
    yield
    plant.aggregator.start()
    if chance.random() < 0.5:
        time.sleep(chance.uniform(0.0, 4.0))
        plant.aggregator.kill()
        plant.aggregator.start()


@fault("kill-all", "agent", "broker", "aggregator")
def kill_all(plant: Plant, chance: random.Random) -> Iterator[None]:
    """Everything dies at once and comes back in any order."""
    parts: list[Gateway | Program] = [*plant.gateways.values(), plant.broker, plant.aggregator]
    chance.shuffle(parts)
    for part in parts:
        part.kill()
    yield
    chance.shuffle(parts)
    for part in parts:
        part.start()
        time.sleep(chance.uniform(0.0, 0.3))
