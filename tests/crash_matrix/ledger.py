"""What the store says of each stream: which seqs it took, refused, was told are gone, and holds as rows."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

RECORD_TABLES = ("telemetry", "prediction", "gap_record")


@dataclass(slots=True)
class StreamAccount:
    """One stream of one gateway as the store has it.

    Attributes:
        stream: its number in the store; a gateway's later streams have higher ones.
        gateway: whose it is.
        refused: whether the centre refuses it as a whole.
        receipts: how often the ledger has each seq.
        quarantined: seqs that the ledger has as set aside.
        rows: how many rows of all tables of records name each seq.
        dropped: seqs that gap records tell of.
        given_up: seqs that the centre waits for no more.
    """

    stream: int
    gateway: str
    refused: bool
    receipts: Counter[int] = field(default_factory=Counter)
    quarantined: set[int] = field(default_factory=set)
    rows: Counter[int] = field(default_factory=Counter)
    dropped: set[int] = field(default_factory=set)
    given_up: set[int] = field(default_factory=set)

    @property
    def gone(self) -> set[int]:
        """Seqs that were dropped and had not arrived before."""
        return self.dropped - self.receipts.keys()

    @property
    def used_twice(self) -> int:
        """How many seqs the ledger or the tables have too often."""
        return (self.receipts - Counter(set(self.receipts))).total() + (self.rows - Counter(set(self.rows))).total()

    @property
    def without_receipt(self) -> set[int]:
        """Seqs with a row that the ledger did not take."""
        return self.rows.keys() - (self.receipts.keys() - self.quarantined)

    @property
    def without_row(self) -> set[int]:
        """Seqs that the ledger took for repeats of what was there already."""
        return self.receipts.keys() - self.quarantined - self.rows.keys()

    @property
    def holes(self) -> set[int]:
        """Seqs before the last one that the store neither has nor was told are gone."""
        return set(range(1, max(self.receipts, default=0))) - self.receipts.keys() - self.dropped


def read_streams(connection: Connection) -> list[StreamAccount]:
    """The accounts of all streams."""
    query = text("SELECT stream.id, gateway.name, conflict FROM stream JOIN gateway ON gateway.id = gateway_id")
    accounts = {
        stream: StreamAccount(stream, gateway, conflict is not None)
        for stream, gateway, conflict in connection.execute(query)
    }
    query = text("SELECT stream, first_seq, last_seq, quarantine_reason FROM receipt")
    for stream, first, last, reason in connection.execute(query):
        seqs = range(first, last + 1)
        accounts[stream].receipts.update(seqs)
        if reason is not None:
            accounts[stream].quarantined.update(seqs)
    for table in RECORD_TABLES:
        for stream, seq in connection.execute(text(f"SELECT stream, seq FROM {table}")):  # our table
            accounts[stream].rows[seq] += 1
    for stream, ranges in connection.execute(text("SELECT stream, ranges FROM gap_record")):
        for first, last in decoded(ranges):
            accounts[stream].dropped.update(range(first, last + 1))
    for stream, first, last in connection.execute(text("SELECT stream, first_seq, last_seq FROM missing_range")):
        accounts[stream].given_up.update(range(first, last + 1))
    return list(accounts.values())


def told_records(connection: Connection) -> int:
    """How many records gap records tell of, whether they had arrived before or not."""
    told = connection.execute(text("SELECT ranges FROM gap_record")).scalars()
    return sum(last + 1 - first for ranges in told for first, last in decoded(ranges))


def dropped_records(streams: Iterable[StreamAccount]) -> int:
    """How many records gateways dropped by policy that had not arrived before."""
    return sum(len(stream.gone) for stream in streams)


def decoded(column: Any) -> Any:
    """A JSON column; PostgreSQL's driver has decoded it already."""
    return json.loads(column) if isinstance(column, str) else column
