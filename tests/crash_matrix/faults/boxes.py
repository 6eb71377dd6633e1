"""What happens to gateways: clocks that jump, images that are copied, and old ones that are put back."""

import os
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.crash_matrix.faults.kinds import fault
from tests.crash_matrix.gateway import Gateway
from tests.crash_matrix.plant import FILE_FED, MQTT_FED, Plant
from tests.crash_matrix.programs import wait_until

CLOCKS = ("@1970-01-01 00:00:05", "-2d", "-90", "+0", "+90", "+3d", "+4000d")
QUIET_S = 60.0
CLONED_ROWS = 5
ORIGINAL_ROWS = 40
DISK_BYTES = 48 * 2**20
FREE_BYTES = (0, 64 * 2**10, 12 * 2**20)
OFFLINE_ROWS = 1500
FILLER_BYTES = 2**16


@fault("clock-jump", "agent")
def clock_jump(plant: Plant, chance: random.Random) -> Iterator[None]:
    """A gateway's clock jumps back and forth; the time that passes does not."""
    gateway = chance.choice(list(plant.gateways.values()))
    clock = gateway.folder / "clock"
    clock.write_text(chance.choice(CLOCKS))
    gateway.kill()
    gateway.start(
        preload=_libfaketime(), FAKETIME_TIMESTAMP_FILE=str(clock), FAKETIME_NO_CACHE="1", DONT_FAKE_MONOTONIC="1"
    )
    yield
    for _ in range(3):
        clock.write_text(chance.choice(CLOCKS))
        time.sleep(chance.uniform(0.2, 1.0))
    gateway.kill()
    gateway.start()


@fault("set-back-outbox", "agent", "link", "broker", "aggregator", "store")
def set_back_outbox(plant: Plant, chance: random.Random) -> Iterator[None]:
    """A gateway that reads a file is set back to an image made earlier, and reads some rows once more."""
    gateway = plant.gateways[chance.choice(list(FILE_FED))]
    gateway.stop()
    image = gateway.save("image")
    gateway.start()
    yield
    gateway.kill()
    gateway.put_back(image)
    gateway.clones += 1
    gateway.start()


@fault("cloned-outbox", "agent", "link", "broker", "aggregator", "store")
def cloned_outbox(plant: Plant, chance: random.Random) -> Iterator[None]:
    """A clone of a gateway and then the gateway itself say different things under the same seqs.

    Nothing of the gateway's life after the copy was made has reached the centre, so that it is not told from its
    clone by its births: only by what its records say. The hardware hands each row to one of them only.
    """
    gateway = plant.gateways[chance.choice(list(MQTT_FED))]
    gateway.clones += 1
    plant.feed.pause(gateway.name, paused=True)
    _wait_until_drained(gateway)
    gateway.kill()
    image = gateway.save("image")
    gateway.link.cut()
    gateway.start()
    plant.feed.burst(gateway.name, ORIGINAL_ROWS)
    yield
    for _ in range(2):  # by which it has counted more starts than its clone will
        time.sleep(chance.uniform(1.0, 1.5))
        gateway.kill()
        gateway.start()
    wait_until(lambda: gateway.unacked() == 2 * ORIGINAL_ROWS, QUIET_S, f"{gateway.name} accepts rows while offline")
    gateway.kill()
    original = gateway.save("original")
    gateway.put_back(image)
    gateway.start()
    gateway.link.heal()
    plant.feed.burst(gateway.name, chance.randint(1, CLONED_ROWS))
    _wait_until_drained(gateway)
    gateway.stop()
    gateway.put_back(original)
    gateway.start()
    plant.feed.pause(gateway.name, paused=False)


@fault("disk-full", "agent", "link", "broker", "aggregator", "store", fills_disks=True)
def disk_full(plant: Plant, chance: random.Random) -> Iterator[None]:
    """The disk of a gateway that is offline fills up while rows go on; what it gives up, it must tell."""
    gateway = chance.choice(list(plant.gateways.values()))
    gateway.stop()
    box = gateway.save("box")
    with _small_disk(gateway.mount):
        gateway.put_back(box)
        gateway.link.cut()
        gateway.start()
        plant.feed.burst(gateway.name, OFFLINE_ROWS)
        yield
        filler = gateway.mount / "filler"
        _fill(filler, chance.choice(FREE_BYTES))
        plant.feed.burst(gateway.name, OFFLINE_ROWS)
        time.sleep(chance.uniform(2.0, 4.0))
        filler.unlink()
        gateway.link.heal()
        gateway.stop()
        box = gateway.save("box")
    gateway.put_back(box)
    gateway.start()


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        raise PermissionError(f"a full disk needs a tmpfs, and that needs root: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["/bin/umount", "--lazy", folder], check=True)


def _fill(filler: Path, free_bytes: int) -> None:
    """Write until the disk is full, and give so much back."""
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(FILLER_BYTES))
    os.truncate(filler, max(0, filler.stat().st_size - free_bytes))


def _wait_until_drained(gateway: Gateway) -> None:
    """Wait until nothing that a quiet gateway was given is on its way."""
    quiet_since = time.monotonic()

    def quiet() -> bool:
        nonlocal quiet_since
        if gateway.unacked() != 0:
            quiet_since = time.monotonic()
        return time.monotonic() - quiet_since > 2.0

    wait_until(quiet, QUIET_S, f"{gateway.name} has delivered everything")


def _libfaketime() -> str:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        raise FileNotFoundError("no libfaketime: install Debian's package libfaketime")
    return str(found[0])
