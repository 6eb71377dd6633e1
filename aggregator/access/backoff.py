"""How long somebody has to wait after failed logins: longer with each, and the same for names that nobody has."""

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import NamedTuple

FREE_FAILURES = 4
FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 900.0
KEYS_MAX = 10_000

Key = tuple[str, str]
"""Where from, and as whom: who fails as somebody else does not keep them out."""


class _Failures(NamedTuple):
    number: int
    next_at: datetime


class LoginBackoff:
    """Failed logins of this process, by address and name; of too many keys the longest untouched are forgotten."""

    def __init__(self) -> None:
        self._failures: OrderedDict[Key, _Failures] = OrderedDict()

    def wait_s(self, key: Key, now: datetime) -> float:
        """Seconds until the next attempt is looked at; 0 is now."""
        known = self._failures.get(key)
        return 0.0 if known is None else max(0.0, (known.next_at - now).total_seconds())

    def fail(self, key: Key, now: datetime) -> None:
        """Count a failure: after the first few, each doubles the wait."""
        known = self._failures.pop(key, None)
        number = 1 if known is None else known.number + 1
        doublings = min(number - FREE_FAILURES - 1, 16)
        wait_s = 0.0 if doublings < 0 else min(FIRST_WAIT_S * 2**doublings, LONGEST_WAIT_S)
        self._failures[key] = _Failures(number, now + timedelta(seconds=wait_s))
        if len(self._failures) > KEYS_MAX:
            self._failures.popitem(last=False)

    def succeed(self, key: Key) -> None:
        """Forget the failures before a success."""
        self._failures.pop(key, None)
