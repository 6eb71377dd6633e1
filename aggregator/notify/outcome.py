"""What came of an attempt to send something."""

from typing import Literal, NamedTuple

from shared.errors import SpoolwatchError


class AddressError(SpoolwatchError):
    """Nothing can be sent to a URL."""


class Outcome(NamedTuple):
    """What came of it, and in words for people; ``retry_after_s`` is for how long the receiver wants to be left alone.

    After ``failed`` it is tried again, after ``refused`` never.
    """

    state: Literal["sent", "failed", "refused"]
    words: str
    retry_after_s: float | None = None
