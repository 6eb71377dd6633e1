"""Keeps what goes on and on from filling the log."""

import time
from collections.abc import Callable

INTERVAL_S = 600.0


class Seldom:
    """Says when something is worth a line in the log: at first, when its reason changes, then every ten minutes.

    Args:
        monotonic_s: a clock that never jumps, in seconds.
    """

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._reason: str | None = None
        self._told_at_s = 0.0

    def due(self, reason: str = "") -> bool:
        """Note that it happened, for this reason; whether to tell."""
        now_s = self._monotonic_s()
        if reason == self._reason and now_s - self._told_at_s < INTERVAL_S:
            return False
        self._reason, self._told_at_s = reason, now_s
        return True

    def over(self) -> bool:
        """Note that it is over; whether there is anything to tell."""
        told, self._reason = self._reason is not None, None
        return told
