import sqlite3
from contextlib import closing

import pytest

from edge_agent.outbox import Outbox, OutboxError, StoredState
from edge_agent.outbox.acceptance import REFUSED_ROWS_KEPT
from edge_agent.outbox.layout import OUTBOX
from edge_agent.ports import RefusedRow
from shared.messages import Ack, Deferred, Quarantined

LAST = 2**62


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


@pytest.fixture
def outbox(path):
    outbox = Outbox(path)
    yield outbox
    outbox.close()


def bodies(outbox, *, at=0.0):
    return [(stored.seq, stored.body) for stored in outbox.waiting(1, LAST, limit=1000, at=at)]


def test_a_batch_is_there_after_a_reopen_with_its_cursor_and_states(path, outbox):
    outbox.accept([b"a", b"b"], cursor="5", states={"E-1": StoredState("m", b"state", b"{}")})
    again = Outbox(path)
    assert bodies(again) == [(1, b"a"), (2, b"b")]
    assert (again.cursor, again.engine_state("E-1"), again.next_seq) == ("5", StoredState("m", b"state", b"{}"), 3)
    again.close()


def test_a_state_is_given_out_with_the_model_whose_it_is_and_a_new_one_takes_its_place(outbox):
    outbox.accept([], states={"E-1": StoredState("old", b"state")})
    assert outbox.engine_state("E-1") == StoredState("old", b"state")
    outbox.accept([], states={"E-1": StoredState("new", b"other")})
    assert outbox.engine_state("E-1") == StoredState("new", b"other")
    assert outbox.engine_state("E-2") is None


def test_a_batch_that_fails_half_way_leaves_nothing(outbox):
    with pytest.raises(OutboxError, match="cannot read or write"):
        outbox.accept([b"a"], cursor="5", states={"E-1": StoredState("m", object())})
    assert (bodies(outbox), outbox.cursor, outbox.next_seq) == ([], None, 1)


def test_seqs_are_never_used_again_even_when_all_is_acked(path, outbox):
    outbox.accept([b"a", b"b"])
    outbox.settle(Ack(stream_id=outbox.stream_id, committed=[(1, 2)]), at=0.0)
    outbox.close()
    again = Outbox(path)
    again.accept([b"c"])
    assert bodies(again) == [(3, b"c")]
    again.close()


def test_quarantined_records_are_kept_as_dead_letters_with_their_reason(path, outbox):
    outbox.accept([b"a", b"b"])
    outbox.settle(Ack(stream_id=outbox.stream_id, quarantined=[Quarantined(seq=1, reason="unknown engine")]), at=9.0)
    assert bodies(outbox) == [(2, b"b")]
    assert outbox.status().dead_letters == 1
    with sqlite3.connect(path) as look:
        assert look.execute("SELECT seq, body, reason, at FROM dead_letter").fetchall() == [
            (1, b"a", "unknown engine", 9.0)
        ]
    look.close()


def test_deferred_records_wait_as_long_as_the_centre_asks(outbox):
    outbox.accept([b"a", b"b", b"c"])
    outbox.settle(
        Ack(stream_id=outbox.stream_id, deferred=[Deferred(range=(1, 2), reason="busy", retry_after_s=5.0)]), at=100.0
    )
    assert bodies(outbox, at=104.9) == [(3, b"c")]
    assert bodies(outbox, at=105.0) == [(1, b"a"), (2, b"b"), (3, b"c")]


def test_a_new_stream_renumbers_what_is_unacked_in_the_same_order(outbox):
    first = outbox.stream_id
    outbox.accept([b"a", b"b", b"c", b"d"])
    outbox.settle(Ack(stream_id=first, committed=[(2, 2)]), at=0.0)
    assert outbox.begin_new_stream() != first
    assert bodies(outbox) == [(1, b"a"), (2, b"c"), (3, b"d")]
    outbox.accept([b"e"])
    assert bodies(outbox)[-1] == (4, b"e")


def test_sessions_count_up_over_restarts_and_differ_in_their_nonce(path, outbox):
    first = outbox.begin_session()
    outbox.close()
    again = Outbox(path)
    second = again.begin_session()
    again.close()
    assert (first.counter, second.counter) == (1, 2)
    assert first.boot_nonce != second.boot_nonce


def test_refused_rows_are_kept_up_to_a_bound_and_all_counted(path, outbox):
    outbox.accept([], refused=[RefusedRow(b"x", "not a number")] * (REFUSED_ROWS_KEPT + 5), at=1.0)
    assert outbox.refused_rows() == REFUSED_ROWS_KEPT + 5
    with sqlite3.connect(path) as look:
        assert look.execute("SELECT count(*) FROM refused_row").fetchone() == (REFUSED_ROWS_KEPT,)
    look.close()


def test_a_reader_sees_the_file_and_cannot_write_it(path, outbox):
    outbox.accept([b"a"])
    reader = Outbox(path, read_only=True)
    assert reader.status().unacked == 1
    with pytest.raises(OutboxError, match="readonly"):
        reader.accept([b"b"])
    reader.close()


def test_who_looks_in_the_moment_in_which_an_outbox_is_made_is_told_to_ask_again(path):
    path.touch()
    with pytest.raises(OutboxError, match=r"nothing in it yet.*ask again"):
        Outbox(path, read_only=True)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
    with pytest.raises(OutboxError, match=r"nothing in it yet.*ask again"):
        Outbox(path, read_only=True)


@pytest.fixture
def of_version_4(path, outbox):
    """A file as the agent before wrote it, with two records, a cursor and a state."""
    outbox.accept([b"a"], [b"b"], cursor="5", states={"E-1": StoredState("m", b"state")})
    outbox.close()
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE cycle_place")
        db.execute("DROP TABLE desired")
        db.execute("ALTER TABLE engine_state DROP COLUMN footing")
        db.execute("PRAGMA user_version = 4")
    db.close()
    return path


def version_of(path):
    with sqlite3.connect(path) as look:
        (version,) = look.execute("PRAGMA user_version").fetchone()
    look.close()
    return version


def test_p1_an_outbox_of_the_version_before_is_taken_up_with_all_that_it_holds(of_version_4):
    for start in (1, 2):
        with closing(Outbox(of_version_4)) as again:
            assert bodies(again) == [(1, b"a"), (2, b"b")]
            assert (again.cursor, again.next_seq) == ("5", 3)
            assert again.engine_state("E-1") == StoredState("m", b"state")
            assert again.desired() == ((0, b"") if start == 1 else (7, b"said"))
            again.keep_desired(7, b"said")
            again.accept([], states={"E-2": StoredState("m", b"state", b"{}")}, places={"E-2": b"place"})
            assert again.engine_state("E-2").footing == b"{}"
            assert again.cycle_place("E-2") == b"place"
            assert again.cycle_place("E-1") is None
    with closing(Outbox(of_version_4)) as again:
        again.settle(Ack(stream_id=again.stream_id, committed=[(1, 2)]), at=0.0)
        assert again.status().unacked == 0


def test_p1_a_migration_that_was_cut_short_begins_again(of_version_4, monkeypatch):
    with monkeypatch.context() as broken:
        statements = OUTBOX.migrations[4]
        broken.setitem(OUTBOX.migrations, 4, (*statements, "SELECT nothing"))
        with pytest.raises(OutboxError, match="nothing"):
            Outbox(of_version_4)
    assert version_of(of_version_4) == 4
    with closing(Outbox(of_version_4)) as again:
        assert bodies(again) == [(1, b"a"), (2, b"b")]


def test_who_only_looks_at_an_outbox_of_the_version_before_leaves_it_so(of_version_4):
    with closing(Outbox(of_version_4, read_only=True)) as look:
        assert look.status_at_last_rate().unacked == 2
        assert look.refused_rows() == 0
    assert version_of(of_version_4) == 4


def test_an_outbox_of_another_version_is_refused(path, outbox):
    outbox.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(OutboxError, match="version 99"):
        Outbox(path)
