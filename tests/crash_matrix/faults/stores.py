"""What happens to databases: locked by somebody, slow, restarted."""

import random
import threading
import time
from collections.abc import Iterator

from tests.crash_matrix.database import Postgresql, lock_now_and_then
from tests.crash_matrix.faults.kinds import fault
from tests.crash_matrix.plant import Plant

SLOW_S = 3.0


@fault("database-locked", "store")
def database_locked(plant: Plant, chance: random.Random) -> Iterator[None]:
    """Another program holds the lock, perhaps for longer than the aggregator waits."""
    with plant.database.locked():
        yield
        time.sleep(chance.uniform(0.0, 3.0))


@fault("database-slow", "store")
def database_slow(plant: Plant, chance: random.Random) -> Iterator[None]:
    """Every commit takes long."""
    until_s = time.monotonic() + SLOW_S
    slow = threading.Thread(target=lock_now_and_then, args=(plant.database, until_s, chance.uniform(0.2, 0.8)))
    slow.start()
    yield
    slow.join()


@fault("database-restart", "store", postgresql_only=True, ends_programs=True)
def database_restart(plant: Plant, chance: random.Random) -> Iterator[None]:
    """PostgreSQL ends without notice, and is back later."""
    if not isinstance(plant.database, Postgresql):
        raise TypeError("only PostgreSQL can be restarted")
    plant.database.crash()
    yield
    time.sleep(chance.uniform(0.0, 2.0))
    plant.database.start()


@fault("centre-restored", "broker", "aggregator", "store")
def centre_restored(plant: Plant, chance: random.Random) -> Iterator[None]:
    """The store is lost and set back to a backup; what it took since then comes again from the gateways."""
    backup = plant.folder / "backup"
    backup.unlink(missing_ok=True)
    plant.database.back_up(lambda *command: plant.centre(*command).run(), backup)
    yield
    time.sleep(chance.uniform(0.5, 2.0))
    plant.aggregator.kill()
    plant.database.restore(lambda *command: plant.centre(*command).run(), backup)
    plant.restored = True
    time.sleep(chance.uniform(0.0, 1.0))
    plant.aggregator.start()
