"""A stream that the centre refuses is left: what is unacked gets new numbers, whatever interrupts it."""

import shutil
import sqlite3

import pytest

from edge_agent.outbox import Outbox, OutboxError
from edge_agent.outbox.file import LOG_BYTES
from edge_agent.outbox.renumbering import PIECE_ROWS
from edge_agent.settings import OutboxSettings
from shared.messages import Ack

LAST = 2**62
MIB = 2**20


@pytest.fixture
def make(tmp_path):
    made = []

    def make(path=tmp_path / "outbox.db", **settings):
        made.append(Outbox(path, settings=OutboxSettings(**settings)))
        return made[-1]

    yield make
    for outbox in made:
        outbox.close()


def bodies(outbox):
    return [stored.body for stored in outbox.waiting(1, LAST, limit=1_000_000, at=0.0)]


def seqs(outbox):
    return [stored.seq for stored in outbox.waiting(1, LAST, limit=1_000_000, at=0.0)]


def fill(outbox, steps, *, rows=1):
    """Telemetry of a few hundred bytes, as it is, and a prediction for each."""
    for step in range(steps):
        outbox.accept(
            [b"t%d.%d" % (step, row) + b"." * 400 for row in range(rows)],
            [b"p%d.%d" % (step, row) + b"." * 600 for row in range(rows)],
        )


def open_new_stream(outbox):
    begun = outbox.begin_new_stream()
    while outbox.is_renumbering:
        outbox.renumber_piece()
    assert outbox.stream_id == begun
    return begun


@pytest.mark.parametrize("rows", [5, 64])
def test_p4_a_conflict_on_an_outbox_that_is_more_than_half_full_gives_up_nothing(make, tmp_path, rows):
    outbox = make(max_bytes=8 * MIB, history_max_bytes=MIB)
    fill(outbox, 5200 // rows, rows=rows)
    outbox.settle(Ack(stream_id=outbox.stream_id, committed=[(1, 600)]), at=0.0)
    used_bytes, before = outbox.status().used_bytes, bodies(outbox)
    assert 0.5 < used_bytes / (8 * MIB) < 0.75
    open_new_stream(outbox)
    assert outbox.status().used_bytes <= used_bytes + 16 * outbox._file.page_bytes
    assert (tmp_path / "outbox.db-wal").stat().st_size <= 1.5 * LOG_BYTES
    outbox.accept([b"next"])
    assert outbox.status().dropped == 0
    assert (seqs(outbox), bodies(outbox)) == (list(range(1, len(before) + 2)), [*before, b"next"])
    assert outbox.status().unacked == len(before) + 1
    outbox.close()
    assert (tmp_path / "outbox.db").stat().st_size <= 8 * MIB


@pytest.fixture
def with_gaps(make):
    """A full outbox that has dropped ranges, told and untold, and history."""
    outbox = make(max_bytes=2 * MIB)
    while outbox.status().dropped < 1500:
        fill(outbox, 10, rows=20)
        bodies(outbox)
    outbox.settle(Ack(stream_id=outbox.stream_id, committed=[(outbox.next_seq - 200, outbox.next_seq - 100)]), at=0.0)
    assert outbox._file.one("SELECT count(*) FROM gap") > 1
    return outbox


def left_by_power_cuts(outbox, folder):
    """The files of an outbox as they are at each commit while it leaves its stream."""
    home, copies = outbox._file.path.parent, []

    def note(statement):
        if statement == "COMMIT":
            copies.append(folder / str(len(copies)))
            copies[-1].mkdir(parents=True)
            for name in ("outbox.db", "outbox.db-wal"):
                shutil.copy(home / name, copies[-1])

    outbox._file._db.set_trace_callback(note)
    open_new_stream(outbox)
    outbox._file._db.set_trace_callback(None)
    return [copy / "outbox.db" for copy in copies]


def test_a_power_cut_at_any_piece_of_a_renumbering_ends_in_the_same_records(with_gaps, make, tmp_path):
    left = with_gaps.stream_id
    records = [body for body in bodies(with_gaps) if not body.startswith(b'{"kind":"gap"')]
    cuts = left_by_power_cuts(with_gaps, tmp_path / "cuts")
    after = (with_gaps.stream_id, with_gaps.next_seq, with_gaps.status().unacked)
    dropped = with_gaps._file.rows("SELECT * FROM dropped_range")
    assert len(cuts) > 2 + len(records) // PIECE_ROWS
    for number, cut in enumerate(cuts):
        again = make(cut)
        if number == 0:  # nothing was begun: the stream is refused once more
            assert again.stream_id == left
            open_new_stream(again)
        else:
            while again.is_renumbering:
                again.renumber_piece()
            assert again.stream_id == after[0]
        assert (again.next_seq, again.status().unacked) == after[1:]
        assert again._file.rows("SELECT * FROM dropped_range") == dropped
        assert [body for body in bodies(again) if not body.startswith(b'{"kind":"gap"')] == records
        again.close()


@pytest.mark.parametrize(
    "refused", [sqlite3.SQLITE_INSERT, sqlite3.SQLITE_DROP_TABLE], ids=["at a piece", "at the end"]
)
def test_a_renumbering_that_fails_half_way_takes_what_is_new_and_shows_nothing_half_done(make, refused):
    outbox = make()
    fill(outbox, 50, rows=50)
    before, left = bodies(outbox), outbox.stream_id

    def failing(action, table, *_):
        hit = (action, table) in ((refused, "renumbered_prediction"), (refused, "telemetry"))
        return sqlite3.SQLITE_DENY if hit and outbox.is_renumbering else sqlite3.SQLITE_OK

    begun = outbox.begin_new_stream()
    outbox._file._db.set_authorizer(failing)
    for work in (lambda: open_new_stream(outbox), lambda: bodies(outbox), lambda: outbox.next_unacked(1)):
        with pytest.raises(OutboxError, match=r"prohibited|not authorized"):
            work()
    outbox._file._db.set_authorizer(None)
    assert outbox.status().unacked == len(before)
    outbox.accept([b"late"])
    assert (outbox.is_renumbering, outbox.stream_id) == (True, left)
    assert bodies(outbox) == [*before, b"late"]
    assert (outbox.is_renumbering, outbox.stream_id) == (False, begun)


def test_p4_what_does_not_fit_between_two_pieces_waits_for_the_last_so_that_the_oldest_is_given_up(make):
    outbox = make(max_bytes=2 * MIB)
    while not outbox.status().dropped:
        fill(outbox, 1, rows=20)
    before = [body for body in bodies(outbox) if not body.startswith(b"{")]
    outbox.begin_new_stream()
    for _ in range(4):
        outbox.renumber_piece()
    assert outbox.is_renumbering
    outbox.accept([b"t" * 400] * 500)
    assert not outbox.is_renumbering
    after = [body for body in bodies(outbox) if not body.startswith(b"{")]
    telemetry = [body for body in before if body.startswith(b"t")]
    kept = [body for body in after if body.startswith(b"t")][:-500]
    assert 0 < len(kept) < len(telemetry)
    assert kept == telemetry[-len(kept) :]
    assert [body for body in after if body.startswith(b"p")] == [body for body in before if body.startswith(b"p")]


def test_a_gap_record_that_a_failing_disk_made_unreadable_stops_no_renumbering(with_gaps):
    records = [body for body in bodies(with_gaps) if not body.startswith(b'{"kind":"gap"')]
    with_gaps._file.execute("UPDATE gap SET body = x'00' WHERE seq = (SELECT min(seq) FROM gap)")
    open_new_stream(with_gaps)
    assert [body for body in bodies(with_gaps) if not body.startswith(b'{"kind":"gap"')] == records


def test_a_second_conflict_starts_from_the_numbers_of_the_first(make):
    outbox = make()
    fill(outbox, 3)
    first = open_new_stream(outbox)
    outbox.settle(Ack(stream_id=first, committed=[(1, 4)]), at=0.0)
    assert open_new_stream(outbox) not in (first, None)
    assert (seqs(outbox), outbox.next_seq) == ([1, 2], 3)
