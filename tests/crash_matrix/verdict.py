"""Compares the store with the truth: every row once, by both keys, in every table that counts it."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from shared.cmapss import CHANNELS
from tests.crash_matrix.feed import Key, Truth
from tests.crash_matrix.ledger import StreamAccount, decoded, dropped_records, read_streams
from tests.crash_matrix.missing import Place, gone_places, not_told_of, places_of

MEASURED_TABLES = ("telemetry", "prediction")
REPEATED_SUBJECT = "already stored with other content"
SHOWN = 5


@dataclass(slots=True)
class Allowance:
    """What cloning and setting back explain of one gateway's.

    Attributes:
        clones: how often it was cloned or set back.
        records: how many records that may have made come twice.
    """

    clones: int = 0
    records: int = 0


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
        truth: what was emitted, in order; grows meanwhile.
        engines: the serials of each gateway.
        allowances: what clones explain so far; grows meanwhile.
    """

    def __init__(
        self, truth: Truth, engines: Mapping[str, Collection[str]], allowances: Mapping[str, Allowance]
    ) -> None:
        self._truth, self._engines, self._allowances = truth, engines, allowances
        self._read_up_to = 0

    def start_over(self) -> None:
        """Read the content of every row once more."""
        self._read_up_to = 0

    def judge(self, connection: Connection) -> Verdict:
        """Compare everything."""
        streams = read_streams(connection)
        verdict = Verdict(records=len(MEASURED_TABLES) * len(self._truth), dropped=dropped_records(streams))
        due = Counter(self._truth.keys())
        missing: Counter[str] = Counter()
        for table in MEASURED_TABLES:
            stored = _stored(connection, table)
            missing.update(serial for serial, _ in (due - stored))
            verdict.duplicates += (stored - due).total()
        gone = gone_places(streams)
        for gateway, serials in self._engines.items():
            absent, told = sum(missing[serial] for serial in serials), gone.get(gateway, [])
            unexplained = self._not_told_of(connection, serials, told) if absent else 0
            verdict.lost += max(unexplained, absent - len(told))
            if len(told) > absent:
                verdict.wrong.append(f"{gateway}: {len(told)} records are said to be dropped, {absent} are missing")
        verdict.duplicates += sum(stream.used_twice for stream in streams)
        for findings in (
            self._other_content(connection),
            self._current_state(connection),
            _unsettled(streams),
            self._unexplained(connection, streams),
        ):
            verdict.wrong += findings
        return verdict

    def _not_told_of(self, connection: Connection, serials: Collection[str], gone: Sequence[Place]) -> int:
        emitted = [key for key in self._truth if key[0] in serials]
        return sum(not_told_of(emitted, places_of(connection, table, serials), gone) for table in MEASURED_TABLES)

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
        """What is right only after somebody cloned a box or set it back, and then only for as many records."""
        set_aside: Counter[str] = Counter()
        for gateway, reason in connection.execute(text("SELECT gateway, reason FROM quarantine")):
            if REPEATED_SUBJECT in reason:
                set_aside[gateway] += 1
            else:
                yield f"{gateway}: quarantined: {reason}"
        twice: Counter[str] = Counter()
        refused: Counter[str] = Counter()
        for stream in streams:
            twice[stream.gateway] += len(stream.without_row)
            refused[stream.gateway] += stream.refused
        for gateway in self._engines:
            allowed = self._allowances.get(gateway) or Allowance()
            if refused[gateway] > allowed.clones:
                yield f"{gateway}: {refused[gateway]} streams refused, {allowed.clones} clones were made"
            for count, what in (
                (set_aside[gateway], "quarantined as repeats with other content"),
                (twice[gateway], "accepted twice, under two seqs"),
            ):
                if count > allowed.records:
                    yield f"{gateway}: {count} records were {what}; clones explain {allowed.records}"


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
