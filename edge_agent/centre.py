"""What the agent knows of the centre: whether it accepts records, its store, its time, and how long it is silent."""

from collections import deque

from shared.messages import CentreStatus

MAX_DOUBLINGS = 6
SKEW_MAX_S = 5.0
"""So far off, a signed command may seem expired, and times of rows mislead whoever reads them."""
TIMES_KEPT = 3


class Centre:
    """The aggregators as their retained statuses show them; one that accepts is enough, and so is none heard of."""

    def __init__(self) -> None:
        self._accepting: dict[str, bool] = {}
        self.store_epoch: str | None = None

    @property
    def accepts(self) -> bool:
        """Whether records may be sent."""
        return not self._accepting or any(self._accepting.values())

    def note(self, status: CentreStatus) -> None:
        """Take note of what one aggregator says."""
        self._accepting[status.replica] = status.accepting
        if status.accepting:
            self.store_epoch = status.store_epoch


class CentreClock:
    """The centre's time, by when its last statuses were sent and when they came.

    One that was long on its way makes the centre seem behind: the quickest of the last three counts. In between,
    the monotonic clock goes on, so that a box whose clock is set sees that at once.

    >>> clock = CentreClock()
    >>> clock.note(sent_at_s=5000.0, monotonic_s=10.0)
    >>> clock.note(sent_at_s=5100.0, monotonic_s=118.0)  # was on its way for eight seconds more
    >>> clock.skew_s(now_s=5111.0, monotonic_s=120.0)
    1.0
    """

    def __init__(self) -> None:
        self._ahead_of_monotonic_s: deque[float] = deque(maxlen=TIMES_KEPT)

    def note(self, *, sent_at_s: float, monotonic_s: float) -> None:
        """A message has come that the centre has just sent, at ``sent_at_s`` by its clock (Unix time)."""
        self._ahead_of_monotonic_s.append(sent_at_s - monotonic_s)

    def skew_s(self, *, now_s: float, monotonic_s: float) -> float | None:
        """How far the own clock is ahead of the centre's, plus the way here; None if nothing was heard."""
        if not self._ahead_of_monotonic_s:
            return None
        return now_s - (max(self._ahead_of_monotonic_s) + monotonic_s)


def skew_text(skew_s: float) -> str:
    """How far this box's clock is off, in words.

    >>> skew_text(-3600.0), skew_text(0.04)
    ("3,600.0 s behind the centre's", "0.0 s ahead of the centre's")
    """
    return f"{abs(skew_s):,.1f} s {'behind' if skew_s < 0 else 'ahead of'} the centre's"


class Silence:
    """Measures for how long records have been on their way without any answer.

    Each time it was too long, twice that is allowed the next time; an answer ends that.

    >>> silence = Silence(timeout_s=30.0)
    >>> silence.asked(now_s=0.0)
    >>> silence.is_too_long(now_s=29.0), silence.is_too_long(now_s=30.0)
    (False, True)
    >>> silence.asked(now_s=31.0)
    >>> silence.is_too_long(now_s=61.0), silence.is_too_long(now_s=91.0)
    (False, True)
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._times = 0
        self._since_s: float | None = None

    def asked(self, *, now_s: float) -> None:
        """Records are on their way."""
        if self._since_s is None:
            self._since_s = now_s

    def heard(self) -> None:
        """The centre has answered."""
        self._times = 0
        self._since_s = None

    def restart(self) -> None:
        """Measure from the next records on: the connection or the centre is a new one."""
        self._since_s = None

    def is_too_long(self, *, now_s: float) -> bool:
        """Whether it is time to give the connection up; says so once."""
        if self._since_s is None or now_s - self._since_s < self._timeout_s * 2 ** min(self._times, MAX_DOUBLINGS):
            return False
        self._times += 1
        self._since_s = None
        return True
