"""Tells systemd that the agent works: ready once, then alive for as long as both loops make progress."""

import asyncio
import os
import time
from collections.abc import Callable

import sdnotify


class Watchdog:
    """Feeds the service manager's watchdog only while every named loop has beaten since the last feeding.

    Args:
        loops: names of the loops that must make progress.
    """

    def __init__(self, *loops: str) -> None:
        self._notifier = sdnotify.SystemdNotifier()
        self._beats = dict.fromkeys(loops, time.monotonic())
        self._interval_s = int(os.environ.get("WATCHDOG_USEC", 10_000_000)) / 2e6

    def beat(self, loop: str) -> Callable[[], None]:
        """A callback with which one loop says that it makes progress."""

        def note() -> None:
            self._beats[loop] = time.monotonic()

        return note

    def ready(self) -> None:
        """Say that the agent has started."""
        self._notifier.notify("READY=1")

    def stopping(self, *, to_reload: bool = False) -> None:
        """Say that the agent is about to stop, or to start anew as the same process."""
        self._notifier.notify("RELOADING=1" if to_reload else "STOPPING=1")

    async def run(self) -> None:
        """Feed until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            if all(time.monotonic() - beat < 2 * self._interval_s for beat in self._beats.values()):
                self._notifier.notify("WATCHDOG=1")
