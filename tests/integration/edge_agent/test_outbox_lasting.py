"""What the outbox keeps over restarts, changed settings and clocks that jump: everything, in order."""

from datetime import UTC, datetime
from itertools import chain

import pytest

from edge_agent.outbox import Outbox, StoredState
from edge_agent.outbox.history import PIECE_ROWS, join
from edge_agent.outbox.settlement import MAX_DEFERRAL_S
from edge_agent.settings import OutboxSettings
from shared.messages import Ack, Deferred
from shared.ranges import as_ranges

LAST = 2**62
DAY_S = 86_400.0
IN_1970 = datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)


class Clocks:
    """The wall clock, which may jump, and the monotonic one, which may not."""

    def __init__(self):
        self.wall = datetime(2026, 1, 2, tzinfo=UTC)
        self.monotonic_s = 0.0

    def open(self, path, **settings):
        return Outbox(
            path, settings=OutboxSettings(**settings), now=lambda: self.wall, monotonic_s=lambda: self.monotonic_s
        )


@pytest.fixture
def clocks():
    return Clocks()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


def rows(outbox, at=0.0):
    return [(stored.seq, stored.body) for stored in outbox.waiting(1, LAST, limit=10_000, at=at)]


def committed(outbox, first, last):
    outbox.settle(Ack(stream_id=outbox.stream_id, committed=[(first, last)]), at=0.0)


def held(outbox):
    ranges = []
    for some in outbox.held_slices():
        join(ranges, some)
    return ranges


def resend(outbox, ranges):
    """Take everything back; returns what is not there."""
    return sorted(chain(*outbox.resend_slices(ranges)))


def test_a_hundred_restarts_leave_every_row_as_it_was(path, clocks):
    outbox = clocks.open(path)
    outbox.accept([b"t%d" % number for number in range(50)], [b"p%d" % number for number in range(50)], cursor="c")
    committed(outbox, 1, 10)
    before, stream_id = rows(outbox), outbox.stream_id
    for start in range(1, 101):
        outbox.close()
        outbox = clocks.open(path)
        assert outbox.begin_session().counter == start
    assert (rows(outbox), outbox.stream_id, outbox.cursor) == (before, stream_id, "c")
    assert (outbox.next_seq, held(outbox)) == (101, [(1, 100)])
    outbox.close()


def test_changed_settings_change_no_row(path, clocks):
    outbox = clocks.open(path)
    outbox.accept([b"t"] * 5, [b"p"] * 5, states={"E-1": StoredState("old", b"state")})
    before, stream_id = rows(outbox), outbox.stream_id
    outbox.close()
    again = clocks.open(path, max_bytes=2**24, history_days=1, commit_rows=1, disk_reserve_bytes=2**25)
    again.accept([b"n"], states={"E-2": StoredState("new", b"other")})
    assert rows(again) == [*before, (11, b"n")]
    assert (again.stream_id, again.engine_state("E-1")) == (stream_id, StoredState("old", b"state"))
    again.close()


def test_a_lower_bound_set_later_holds_at_the_next_step(path, clocks):
    outbox = clocks.open(path)
    outbox.accept([b"t" * 1000] * 3000)
    outbox.close()
    again = clocks.open(path, max_bytes=2**20)
    again.accept([b"new"])
    status = again.status()
    assert status.used_bytes <= 2**20
    assert status.unacked + status.dropped == 3001
    assert rows(again)[-2] == (3001, b"new")  # the gap record comes behind it
    again.close()


def test_acked_records_are_held_and_can_be_sent_again(path, clocks):
    outbox = clocks.open(path)
    outbox.accept([b"t1", b"t2"], [b"p1", b"p2"])
    committed(outbox, 1, 3)
    assert (rows(outbox), held(outbox)) == ([(4, b"p2")], [(1, 4)])
    assert resend(outbox, [(40, 50), (2, 3)]) == [(40, 50)]
    assert rows(outbox) == [(2, b"t2"), (3, b"p1"), (4, b"p2")]
    assert resend(outbox, [(2, 3)]) == []
    committed(outbox, 2, 4)
    assert (outbox.status().unacked, held(outbox)) == (0, [(1, 4)])
    outbox.close()


def test_of_much_that_is_asked_for_a_part_in_each_transaction_is_sent_again_and_what_is_gone_is_named(path, clocks):
    outbox = clocks.open(path)
    outbox.accept([b"t"] * 9_000)
    committed(outbox, 1, 3_000)
    outbox._file.execute("DELETE FROM history WHERE seq % 3 = 0 OR seq BETWEEN 1000 AND 2000")
    asked = [(1, 2_500), (2_600, 8_000), (8_999, 9_010)]
    expected = {seq for first, last in asked for seq in range(first, last + 1)} - {
        seq for (seq,) in outbox._file.rows("SELECT seq FROM history UNION ALL SELECT seq FROM telemetry")
    }
    slices = list(outbox.resend_slices(asked))
    assert sorted(chain(*slices)) == as_ranges(expected)
    held_there = 7_913 - len(expected)
    assert held_there / PIECE_ROWS <= len(slices) <= held_there / PIECE_ROWS + len(asked)
    assert outbox._file.one("SELECT count(*) FROM history") == outbox._file.one(
        "SELECT count(*) FROM history WHERE seq BETWEEN 2501 AND 2599"
    )
    outbox.close()


def test_history_ends_with_its_days_counted_while_the_agent_runs(path, clocks):
    outbox = clocks.open(path, history_days=2)
    outbox.accept([b"a"])
    committed(outbox, 1, 1)
    clocks.monotonic_s += 1.5 * DAY_S
    outbox.accept([b"b"])
    committed(outbox, 2, 2)
    outbox.close()
    clocks.monotonic_s = 7.0  # the box was started again
    again = clocks.open(path, history_days=2)
    assert held(again) == [(1, 2)]
    clocks.monotonic_s += 1 * DAY_S
    again.accept([b"c"])
    committed(again, 3, 3)
    assert held(again) == [(2, 3)]
    again.close()


def test_p1_what_is_unacked_is_kept_at_any_age(path, clocks):
    outbox = clocks.open(path, history_days=1)
    outbox.accept([b"old"], [b"older than any history"])
    for _ in range(3):
        clocks.monotonic_s += 400 * DAY_S
        outbox.accept([b"acked"])
        committed(outbox, outbox.next_seq - 1, outbox.next_seq - 1)
    outbox.close()
    again = clocks.open(path, history_days=1)
    again.accept([b"new"])
    assert rows(again) == [(1, b"old"), (2, b"older than any history"), (6, b"new")]
    # The same clock did end the history beside it.
    assert held(again) == [(1, 2), (5, 6)]
    again.close()


def test_history_ends_with_its_size_oldest_first(path, clocks):
    outbox = clocks.open(path, history_max_bytes=50_000)
    outbox.accept([b"h" * 1000] * 100)
    committed(outbox, 1, 100)
    [(first, last)] = held(outbox)
    assert last == 100
    assert 30 <= last - first <= 50
    assert outbox.status().history_bytes <= 50_000
    outbox.close()


def test_without_history_an_ack_frees_at_once(path, clocks):
    outbox = clocks.open(path, history_max_bytes=0)
    outbox.accept([b"a", b"b"])
    committed(outbox, 1, 1)
    assert held(outbox) == [(2, 2)]
    outbox.close()


def test_a_new_stream_forgets_the_history_of_the_one_before(path, clocks):
    outbox = clocks.open(path)
    outbox.accept([b"a", b"b", b"c"])
    committed(outbox, 1, 2)
    outbox.begin_new_stream()
    assert (rows(outbox), held(outbox), outbox.status().history_bytes) == ([(1, b"c")], [(1, 1)], 0)
    outbox.close()


@pytest.mark.parametrize("jump_s", [-50 * 365 * DAY_S, -DAY_S, DAY_S, 50 * 365 * DAY_S])
def test_a_jump_of_the_wall_clock_neither_loses_nor_reorders(path, clocks, jump_s):
    outbox = clocks.open(path)
    outbox.accept([b"before"])
    outbox.settle(
        Ack(stream_id=outbox.stream_id, deferred=[Deferred(range=(1, 1), reason="busy", retry_after_s=60)]), at=1e9
    )
    outbox.accept([b"acked"])
    outbox.settle(Ack(stream_id=outbox.stream_id, committed=[(2, 2)]), at=1e9)
    clocks.wall = IN_1970
    outbox.accept([b"after"])
    committed(outbox, 4, 4)
    assert held(outbox) == [(1, 3)]
    assert rows(outbox, at=1e9 + jump_s) == [(1, b"before"), (3, b"after")]
    outbox.close()


def test_a_deferral_never_lasts_longer_than_an_hour_whatever_the_clock_does(path, clocks):
    outbox = clocks.open(path)
    outbox.accept([b"a"])
    outbox.settle(
        Ack(stream_id=outbox.stream_id, deferred=[Deferred(range=(1, 1), reason="busy", retry_after_s=1e9)]), at=1000.0
    )
    assert rows(outbox, at=1000.0 + MAX_DEFERRAL_S - 1) == []
    assert rows(outbox, at=1000.0 + MAX_DEFERRAL_S) == [(1, b"a")]
    outbox.close()


def test_hours_left_foretell_when_something_is_given_up(path, clocks):
    outbox = clocks.open(path, max_bytes=2**22)
    assert outbox.status().hours_left is None
    steps, foretold_s = 0, 0.0
    while outbox.status().dropped == 0:
        outbox.accept([b"t" * 500], [b"p" * 700])
        clocks.monotonic_s += 1.0
        steps += 1
        if steps == 600:
            status = outbox.status()
            assert status.accepted_per_s == pytest.approx(2.0, rel=0.02)
            foretold_s = status.hours_left * 3600
    assert steps - 600 == pytest.approx(foretold_s, rel=0.15)
    outbox.close()


def test_hours_left_are_unknown_once_no_rows_came_for_a_while(path, clocks):
    outbox = clocks.open(path)
    outbox.accept([b"t"])
    assert outbox.status().hours_left > 0
    clocks.monotonic_s += 3600
    assert (outbox.status().accepted_per_s, outbox.status().hours_left) == (0.0, None)
    outbox.close()


def test_the_last_known_rate_outlasts_a_pause_and_the_agent(path, clocks):
    outbox = clocks.open(path)
    assert outbox.status_at_last_rate().hours_left is None
    for _ in range(600):
        clocks.monotonic_s += 1.0
        outbox.accept([b"t" * 500], [b"p" * 700])
    present = outbox.status()
    clocks.monotonic_s += 3600
    outbox.accept(cursor="a file without new rows")
    assert outbox.status().hours_left is None
    outbox.close()
    again = clocks.open(path)
    last = again.status_at_last_rate()
    assert last.accepted_per_s == pytest.approx(present.accepted_per_s, rel=0.01) == pytest.approx(2.0, rel=0.01)
    assert last.hours_left == pytest.approx(present.hours_left, rel=0.01)
    again.close()


def test_a_source_with_a_row_now_and_then_has_a_last_known_rate_too(path, clocks):
    outbox = clocks.open(path)
    for _ in range(3):
        clocks.monotonic_s += 1200
        outbox.accept([b"t" * 600])
    outbox.close()
    again = clocks.open(path)
    assert again.status_at_last_rate().accepted_per_s == pytest.approx(1 / 600, abs=0.001)
    assert again.status_at_last_rate().hours_left > 0
    again.close()


def test_history_counts_as_room(path, clocks):
    outbox = clocks.open(path)
    outbox.accept([b"t" * 1000] * 1000)
    used = outbox.status().used_bytes
    committed(outbox, 1, 1000)
    status = outbox.status()
    assert status.history_bytes == 1_000_000
    assert status.used_bytes < used / 4
    outbox.close()


def test_what_is_held_is_found_across_slices_and_wide_gaps(path, clocks):
    outbox = clocks.open(path, history_max_bytes=0)
    outbox.accept([b"x"] * 30_000)
    committed(outbox, 2, 9)
    committed(outbox, 4_100, 4_100)
    committed(outbox, 5_000, 29_999)
    expected = [(1, 1), (10, 4_099), (4_101, 4_999), (30_000, 30_000)]
    assert held(outbox) == expected
    assert sum(len(some) for some in outbox.held_slices()) > len(expected)
    assert (outbox.next_unacked(2), outbox.next_unacked(5_000), outbox.next_unacked(30_001)) == (10, 30_000, None)
    outbox.close()
