"""What the agent last warned of in its log, for whoever asks how it is."""

from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from shared.messages import Utc

KEPT = 5
TEXT_MAX_CHARS = 300
LEVELS = ("warning", "error", "critical")


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the log at level warning or above, how often it came with these words, and when it last did."""

    event: str
    text: str
    at: Utc
    times: int = 1


class Troubles:
    """A step of the log's processing that remembers the last few troubles, each with other words once.

    Attributes:
        last: the newest first; replaced as a whole, so that any thread may read it.
    """

    def __init__(self) -> None:
        self.last: tuple[Trouble, ...] = ()

    def __call__(self, _logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Take note of an event and pass it on; it has its level and its time already."""
        if event.get("level") in LEVELS:
            self._note(event)
        return event

    def _note(self, event: MutableMapping[str, Any]) -> None:
        name = str(event.get("event"))
        fields = {key: value for key, value in event.items() if key not in ("event", "level", "timestamp", "exception")}
        text = str(fields.get("reason") or ", ".join(f"{key} {value}" for key, value in fields.items()))
        text = text[:TEXT_MAX_CHARS]
        same = [one for one in self.last if (one.event, one.text) == (name, text)]
        newest = Trouble(
            event=name,
            text=text,
            at=datetime.fromisoformat(event["timestamp"]) if "timestamp" in event else datetime.now(UTC),
            times=1 + sum(one.times for one in same),
        )
        self.last = (newest, *(one for one in self.last if one not in same))[:KEPT]
