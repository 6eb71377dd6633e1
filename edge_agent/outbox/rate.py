"""How much was accepted over the last minutes, from which the outbox tells for how many hours it will do."""

from collections import deque
from collections.abc import Callable

WINDOW_S = 600.0
_SLOT_S = 5.0


class Rate:
    """Records and bytes per second over the last ten minutes, or since the start if that is nearer.

    Args:
        clock_s: a monotonic clock.
    """

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._started_s = clock_s()
        self._slots: deque[tuple[float, int, int]] = deque()

    def note(self, records: int, size_bytes: int) -> None:
        """Count what was accepted just now."""
        now_s = self._clock_s()
        if self._slots and now_s - self._slots[-1][0] < _SLOT_S:
            begun_s, before, before_bytes = self._slots.pop()
            self._slots.append((begun_s, before + records, before_bytes + size_bytes))
        else:
            self._slots.append((now_s, records, size_bytes))

    def per_s(self, records: int = 0, size_bytes: int = 0) -> tuple[float, float]:
        """Records and bytes per second, with some more as if they had been accepted just now."""
        now_s = self._clock_s()
        while self._slots and self._slots[0][0] < now_s - WINDOW_S:
            self._slots.popleft()
        span_s = max(min(WINDOW_S, now_s - self._started_s), 1.0)
        records += sum(slot[1] for slot in self._slots)
        size_bytes += sum(slot[2] for slot in self._slots)
        return records / span_s, size_bytes / span_s
