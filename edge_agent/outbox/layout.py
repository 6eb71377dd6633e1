"""The tables of the outbox, and what makes those of each version from the one before."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class Layout(NamedTuple):
    """What lies in a file of one kind.

    Attributes:
        name: what people call it.
        application_id, version: in the header of the file.
        tables: statements that make them; one is ``head``, which has a single row.
        begin: makes that row.
        migrations: by version, the statements that make the next one, for versions that are still taken up.
    """

    name: str
    application_id: int
    version: int
    tables: str
    begin: Callable[[Callable[[str, Sequence[object]], int]], int]
    migrations: Mapping[int, Sequence[str]] = {}


_PLACES = "CREATE TABLE cycle_place (serial TEXT PRIMARY KEY, place BLOB NOT NULL)"

# Telemetry and predictions lie apart, so that giving up the oldest of one kind frees whole pages.
OUTBOX = Layout(
    "outbox",
    0x53706F6F,  # "Spoo"
    6,
    f"""
CREATE TABLE head (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    stream_id TEXT NOT NULL,
    next_seq INTEGER NOT NULL DEFAULT 1,
    cursor TEXT,
    sessions INTEGER NOT NULL DEFAULT 0,
    unacked INTEGER NOT NULL DEFAULT 0,
    history_bytes INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0,
    dead_letters INTEGER NOT NULL DEFAULT 0,
    refused_rows INTEGER NOT NULL DEFAULT 0,
    dead_letters_given_up INTEGER NOT NULL DEFAULT 0,
    refused_rows_given_up INTEGER NOT NULL DEFAULT 0,
    records_per_s REAL,
    bytes_per_s REAL,
    age_s REAL NOT NULL DEFAULT 0,
    damage TEXT,
    store_epoch TEXT,
    new_stream_id TEXT,
    new_next_seq INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE telemetry (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, retry_at REAL);
CREATE TABLE prediction (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, retry_at REAL);
CREATE TABLE gap (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, retry_at REAL);
CREATE TABLE dropped_range (first INTEGER PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE history (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, body BLOB NOT NULL, acked_age_s REAL NOT NULL);
CREATE TABLE engine_state (
    serial TEXT PRIMARY KEY, model_sha256 TEXT NOT NULL, state BLOB NOT NULL, footing BLOB NOT NULL
);
CREATE TABLE desired (only INTEGER PRIMARY KEY CHECK (only = 1), ordinal INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE refused_row (id INTEGER PRIMARY KEY, body BLOB NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE dead_letter (
    id INTEGER PRIMARY KEY, stream_id TEXT NOT NULL, seq INTEGER NOT NULL,
    body BLOB NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL
);
{_PLACES};
""",
    lambda execute: execute("INSERT INTO head (only, stream_id) VALUES (1, ?)", (uuid.uuid4().hex,)),
    {
        4: (
            "ALTER TABLE engine_state ADD COLUMN footing BLOB NOT NULL DEFAULT x''",
            "CREATE TABLE desired (only INTEGER PRIMARY KEY CHECK (only = 1), ordinal INTEGER NOT NULL, "
            "body BLOB NOT NULL)",
        ),
        5: (_PLACES,),
    },
)
