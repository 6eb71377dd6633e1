"""Every test of the store runs on SQLite and on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import func, select

from aggregator.store.arrivals import Entry, EnvelopeArrival
from aggregator.store.commit import commit
from aggregator.store.tables import Receipt, core
from shared.messages import digest, encode
from shared.topics import GatewayTopic


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request):
    return request.param


@pytest.fixture
def database_url(request, dialect, tmp_path):
    """Where there is no store yet."""
    if dialect == "postgresql":
        return request.getfixturevalue("postgresql_url")
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def store(new_store, dialect):
    return new_store(dialect)


@pytest.fixture
def envelope(clock):
    """Build an envelope of one gateway from records (or, for bad ones, reasons) by seq."""

    def build(records, gateway="gw-1", site="hamburg", stream="stream-1", kind="records"):
        topic, received_at = GatewayTopic(site, gateway, kind), clock()
        entries = []
        for seq, record in records.items():
            bad = isinstance(record, str)
            body = record.encode() if bad else encode(record)
            read = {"reason": f"bad: {record}"} if bad else {"record": record}
            entries.append(Entry(seq, body, digest(body), topic, received_at, **read))
        return EnvelopeArrival(topic, stream, entries, received_at)

    return build


@pytest.fixture
def deliver(store, envelope):
    """Commit one envelope and return the only answer."""

    def send(records, **place):
        (answer,) = commit(store, [envelope(records, **place)]).answers.values()
        return answer

    return send


@pytest.fixture
def at_once():
    """Make calls in threads that begin together; what each returned."""

    def run(*calls):
        barrier = Barrier(len(calls), timeout=60)

        def begin(call):
            barrier.wait()
            return call()

        with ThreadPoolExecutor(len(calls)) as threads:
            return list(threads.map(begin, calls))

    return run


@pytest.fixture
def rows(store):
    """All rows of a table, as dictionaries."""

    def read(table):
        with store.engine.connect() as connection:
            return [dict(row) for row in connection.execute(select(core(table))).mappings()]

    return read


@pytest.fixture
def receipts(rows):
    """Every seq that the ledger has taken, with its quarantine reason, by stream and seq."""

    def read():
        return [
            (seq, run["quarantine_reason"])
            for run in sorted(rows(Receipt), key=lambda run: (run["stream"], run["first_seq"]))
            for seq in range(run["first_seq"], run["last_seq"] + 1)
        ]

    return read


@pytest.fixture
def counts(store):
    """How many rows some tables have."""

    def count_rows(*tables):
        with store.engine.connect() as connection:
            return [connection.scalar(select(func.count()).select_from(core(table))) for table in tables]

    return count_rows
