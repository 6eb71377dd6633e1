"""Compares the store with the truth: every row once, by both keys, in every table that counts it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from shared.cmapss import CHANNELS
from tests.crash_matrix.feed import Key, Truth
from tests.crash_matrix.ledger import StreamAccount, decoded, dropped_records, read_streams

MEASURED_TABLES = ("telemetry", "prediction")
REPEATED_SUBJECT = "already stored with other content"
SHOWN = 5


@dataclass(slots=True)
class Verdict:
    """What a comparison found.

    Attributes:
        records: records due, a sensor row and a prediction for each row that was emitted.
        dropped: records that gateways dropped by policy and told of.
        lost: records due that are neither in the store nor dropped.
        duplicates: records in the store, or seqs used in it, more often than once.
        wrong: everything else that should not be, a line each.
    """

    records: int = 0
    dropped: int = 0
    lost: int = 0
    duplicates: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether the store holds what it should."""
        return not (self.lost or self.duplicates or self.wrong)


class Judge:
    """Judges the store again and again as it fills; the content of a row is read once, until ``start_over``.

    Args:
        truth: what was emitted; grows meanwhile.
        clones: how often each gateway has been cloned or set back so far.
    """

    def __init__(self, truth: Truth, clones: Callable[[], Mapping[str, int]]) -> None:
        self._truth, self._clones = truth, clones
        self._read_up_to = 0

    def start_over(self) -> None:
        """Read the content of every row once more."""
        self._read_up_to = 0

    def judge(self, connection: Connection) -> Verdict:
        """Compare everything."""
        streams = read_streams(connection)
        verdict = Verdict(records=len(MEASURED_TABLES) * len(self._truth), dropped=dropped_records(streams))
        due = Counter(self._truth.keys())
        for table in MEASURED_TABLES:
            stored = _stored(connection, table)
            verdict.lost += (due - stored).total()
            verdict.duplicates += (stored - due).total()
        verdict.lost = max(0, verdict.lost - verdict.dropped)
        verdict.duplicates += sum(stream.used_twice for stream in streams)
        for findings in (
            self._other_content(connection),
            self._current_state(connection),
            _unsettled(streams),
            self._unexplained(connection, streams),
        ):
            verdict.wrong += findings
        return verdict

    def _other_content(self, connection: Connection) -> Iterator[str]:
        query = text(
            "SELECT telemetry.id, serial, cycle, channels FROM telemetry JOIN engine ON engine.id = engine_id "
            "WHERE telemetry.id > :after"
        )
        for row_id, serial, cycle, channels in connection.execute(query, {"after": self._read_up_to}):
            self._read_up_to = max(self._read_up_to, row_id)
            if _values(channels) != self._truth.get((serial, cycle)):
                yield f"{serial} cycle {cycle} holds what was not emitted"

    def _current_state(self, connection: Connection) -> Iterator[str]:
        query = text(
            "SELECT serial, telemetry_cycle, prediction_cycle, channels FROM current_state "
            "JOIN engine ON engine.id = engine_id"
        )
        states = {serial: state for serial, *state in connection.execute(query)}
        latest: dict[str, int] = {}
        for serial, cycle in self._truth:
            latest[serial] = max(cycle, latest.get(serial, 0))
        for serial, cycle in latest.items():
            telemetry, prediction, channels = states.get(serial) or (None, None, "{}")
            if (telemetry, prediction) != (cycle, cycle):
                yield f"{serial} is at cycle {cycle}; its state says {telemetry} (row), {prediction} (RUL)"
            elif _values(channels) != self._truth[serial, cycle]:
                yield f"{serial}: its state at cycle {cycle} holds what was not emitted"

    def _unexplained(self, connection: Connection, streams: Iterable[StreamAccount]) -> Iterator[str]:
        """What is right only after somebody cloned a box or set it back."""
        clones = self._clones()
        for gateway, reason in connection.execute(text("SELECT gateway, reason FROM quarantine")):
            if not (clones.get(gateway) and REPEATED_SUBJECT in reason):
                yield f"{gateway}: quarantined: {reason}"
        refused = Counter(stream.gateway for stream in streams if stream.refused)
        for gateway, times in refused.items():
            if times > clones.get(gateway, 0):
                yield f"{gateway}: {times} streams refused, {clones.get(gateway, 0)} clones were made"
        for stream in streams:
            if stream.without_row and not clones.get(stream.gateway):
                yield f"{stream.gateway}: {len(stream.without_row)} records were accepted twice, under two seqs"


def shown(findings: Iterable[str]) -> list[str]:
    """The first findings and how many more there are."""
    every = list(findings)
    more = len(every) - SHOWN
    return every[:SHOWN] + ([f"and {more} more"] if more > 0 else [])


def _unsettled(streams: Iterable[StreamAccount]) -> Iterator[str]:
    for stream in streams:
        if stream.without_receipt:
            yield f"{stream.gateway}: {len(stream.without_receipt)} records are stored without a receipt"
        if undropped := stream.given_up - stream.dropped:
            yield f"{stream.gateway}: the centre gave {len(undropped)} seqs up that nobody dropped"
        if stream.holes and not stream.refused:
            yield f"{stream.gateway}: {len(stream.holes)} seqs of a stream were neither taken nor given up"


def _values(channels: Any) -> tuple[float, ...]:
    """The channels of a stored row in their order."""
    by_name = decoded(channels)
    return tuple(by_name.get(name) for name in CHANNELS)


def _stored(connection: Connection, table: str) -> Counter[Key]:
    query = text(
        f"SELECT serial, cycle, count(*) FROM {table} "  # our table
        "JOIN engine ON engine.id = engine_id GROUP BY serial, cycle"
    )
    return Counter({(serial, cycle): times for serial, cycle, times in connection.execute(query)})
