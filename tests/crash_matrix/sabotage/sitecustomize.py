"""Breaks one promise of the program that starts with it: what the crash matrix must notice.

On the module path of child processes only when ``--sabotage`` asks for it; nothing of it is in the product.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

PUBACK_POLL_S = 0.02
PUBACK_POLLS = 500
WANTED = os.environ.get("CRASH_MATRIX_SABOTAGE")


def free_on_puback() -> None:
    """The agent takes the broker's PUBACK for the centre's answer."""
    from edge_agent.mqtt import MqttLink, Outgoing, Received
    from shared.messages import Ack, decode_envelope, encode
    from shared.ranges import as_ranges

    publish = MqttLink.publish

    def publish_and_free(self: Any, message: Outgoing) -> Any:
        publication = publish(self, message)
        topic, _, kind = message.topic.rpartition("/")
        if kind in ("records", "backfill"):
            envelope = decode_envelope(message.payload)
            ack = Ack(stream_id=envelope.stream_id, committed=as_ranges(seq for seq, _ in envelope.records))
            received = Received(f"{topic}/ack", encode(ack), retained=False)
            task = asyncio.get_running_loop().create_task(free_after(publication, received, self.events))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        return publication

    async def free_after(publication: Any, received: Received, events: asyncio.Queue[Any]) -> None:
        for _ in range(PUBACK_POLLS if publication.rc == 0 else 0):
            if publication.is_published():
                events.put_nowait(received)
                return
            await asyncio.sleep(PUBACK_POLL_S)

    tasks: set[asyncio.Task[None]] = set()
    MqttLink.publish = publish_and_free  # type: ignore[method-assign]  # this is the sabotage


def ack_before_commit() -> None:
    """The centre answers what it has received and only then commits it."""
    from aggregator.ingest.batches import Batches
    from aggregator.ingest.intake import arrive
    from aggregator.store.arrivals import EnvelopeArrival, Outcome

    commit = Batches._commit

    async def answer_and_commit(self: Any, executor: Any, letters: Sequence[Any]) -> None:
        outcome = Outcome()
        for letter in letters:
            arrival = arrive(letter.topic, letter.payload, letter.received_at)
            if isinstance(arrival, EnvelopeArrival):
                answer = outcome.answer(arrival.topic, arrival.stream_id)
                answer.committed |= {entry.seq for entry in arrival.entries}
        self._pending.add(outcome)
        self._changed.set()
        await asyncio.sleep(0.5)
        await commit(self, executor, letters)

    Batches._commit = answer_and_commit  # type: ignore[method-assign]  # this is the sabotage


def synchronous_off() -> None:
    """The outbox does not wait for the disk."""
    connect = sqlite3.connect

    class Hasty(sqlite3.Connection):
        def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
            if statement.lower().startswith("pragma synchronous"):
                statement = "PRAGMA synchronous=OFF"
            return super().execute(statement, *parameters)

    def connect_hastily(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **{"factory": Hasty} | options)
        return connection

    sqlite3.connect = connect_hastily  # type: ignore[assignment]  # this is the sabotage


def seq_from_row_ids() -> None:
    """The outbox numbers records by the rows it holds, so that an empty one begins from 1 again."""
    from edge_agent.outbox import Outbox
    from edge_agent.outbox.file import RECORD_TABLES

    accept = Outbox.accept

    def accept_by_row_ids(self: Any, *arguments: Any, **options: Any) -> None:
        seqs = " UNION ALL ".join(f"SELECT seq FROM {table}" for table in RECORD_TABLES)  # our tables
        highest = self._file.one(f"SELECT coalesce(max(seq), 0) FROM ({seqs})")  # our tables
        self._file.execute("UPDATE head SET next_seq = ?", (highest + 1,))
        accept(self, *arguments, **options)

    Outbox.accept = accept_by_row_ids  # type: ignore[method-assign]  # this is the sabotage


def no_digest_check() -> None:
    """The centre takes a seq that it knows for a repeat, whatever comes with it, and lets every birth pass."""
    from aggregator.store import statuses
    from shared import messages

    vars(messages)["digest"] = lambda _body: bytes(16)
    vars(statuses)["_contradiction"] = lambda *_: None  # which notices most clones before a digest does


SABOTAGES: dict[str, tuple[str, Callable[[], None]]] = {
    "free-on-puback": ("spoolwatch-agent", free_on_puback),
    "ack-before-commit": ("spoolwatch-aggregator", ack_before_commit),
    "synchronous-off": ("spoolwatch-agent", synchronous_off),
    "seq-from-row-ids": ("spoolwatch-agent", seq_from_row_ids),
    "no-digest-check": ("spoolwatch-aggregator", no_digest_check),
}


def begin() -> None:
    """Break the wanted promise if this is the program that keeps it."""
    with open("/proc/self/cmdline", "rb") as file:
        command = file.read().decode()
    program, sabotage = SABOTAGES[WANTED or ""]
    if program in command:
        sabotage()


if WANTED:
    begin()
