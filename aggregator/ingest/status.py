"""What ingest says of itself: read by the API, the page, the watchdog and the announcement to the gateways."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class IngestStatus:
    """The state of ingest; written by the ingest tasks only, on the event loop.

    Attributes:
        connected: whether the broker is connected and every subscription granted.
        since: when ``connected`` last changed, or null before the first attempt has ended.
        accepting: whether the store takes records, and as fast as they come; gateways send none while it does not.
        problem: why ingest is not accepting, for a person; null while it is.
        given_up_messages: those that were quarantined, and left it again because it is bounded.
        unusable_messages: those that not even the quarantine could take.
        dropped_messages: those that came faster than the store took them, and will come again.
    """

    connected: bool = False
    since: datetime | None = None
    accepting: bool = True
    problem: str | None = None
    committed_records: int = 0
    duplicate_records: int = 0
    quarantined_records: int = 0
    given_up_messages: int = 0
    unusable_messages: int = 0
    dropped_messages: int = 0
    last_commit_at: datetime | None = None
