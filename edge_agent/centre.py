"""What the agent knows of the centre: whether it accepts records, its store, and for how long it has been silent."""

from shared.messages import CentreStatus

MAX_DOUBLINGS = 6


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
