"""Turns Ctrl-C and its relatives into a wish that the play looks at: once to end it, twice to end it at once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from shared.errors import SpoolwatchError

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NOHUP = (signal.SIGHUP, signal.SIG_IGN)


class StopWish:
    """How often somebody asked to stop."""

    def __init__(self) -> None:
        self._times = 0

    @property
    def wanted(self) -> bool:
        """Whether the play should end."""
        return self._times > 0

    @property
    def at_once(self) -> bool:
        """Whether it should not even wait for what is on its way."""
        return self._times > 1

    def check(self) -> None:
        """Raise ``SpoolwatchError`` if the play should end before it has begun."""
        if self.wanted:
            raise SpoolwatchError("stopped before anything was emitted")

    def note(self, _number: int, _frame: FrameType | None) -> None:
        """Take note of a signal."""
        self._times += 1


@contextmanager
def stop_wish() -> Iterator[StopWish]:
    """Catch the signals that ask a program to stop."""
    wish = StopWish()
    caught = [number for number in STOPPING if (number, signal.getsignal(number)) != NOHUP]
    before = {number: signal.signal(number, wish.note) for number in caught}
    try:
        yield wish
    finally:
        for number, action in before.items():
            signal.signal(number, action)
