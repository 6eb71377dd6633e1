"""The data budget of a day: the rule, the count, and what an agent sends when little is left."""

import json
from collections import Counter
from datetime import UTC, datetime
from itertools import count

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from edge_agent.budget import BUDGET_FILE, STEP_SHARE, Budget, waits_at
from edge_agent.mqtt import Connected
from edge_agent.sender import LIVE_TAIL_RECORDS
from edge_agent.suspects import PARKED_REST_S
from shared import messages as m

MB = 1_000_000
DAY_S = 86_400
ORDER = ["nothing", "telemetry", "backlog", "records"]
NOON_S = datetime(2026, 1, 2, 12, tzinfo=UTC).timestamp()


class Line:
    """A budget over a line and clocks that the test moves."""

    def __init__(self, folder, day_bytes=MB):
        self.folder, self.day_bytes = folder, day_bytes
        self.now_s, self.clock_s = NOON_S, 100.0
        self.start()

    def start(self):
        """As after a kill."""
        self.traffic = 0
        self.budget = Budget(
            self.day_bytes,
            self.folder,
            traffic_bytes=lambda: self.traffic,
            now_s=lambda: self.now_s,
            monotonic_s=lambda: self.clock_s,
        )
        self.budget.keep()

    def spend(self, size_bytes):
        self.traffic += size_bytes
        self.budget.keep()

    def wait(self, seconds):
        self.now_s += seconds
        self.clock_s += seconds
        self.budget.keep()

    @property
    def spent(self):
        return self.budget.status.spent_bytes


@pytest.fixture
def line(tmp_path):
    return Line(tmp_path)


@given(st.integers(0, 3 * MB), st.integers(0, MB), st.integers(MB, 100 * MB))
def test_the_more_is_spent_the_more_waits(spent, more, day_bytes):
    assert ORDER.index(waits_at(spent, day_bytes)) <= ORDER.index(waits_at(spent + more, day_bytes))
    assert (waits_at(spent, day_bytes) == "records") == (spent >= day_bytes)


folders = count()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("spend"), st.integers(0, 200_000)),
            st.tuples(st.just("wait"), st.integers(0, 50_000)),
            st.tuples(st.sampled_from(["kill", "stop"]), st.just(0)),
        ),
        max_size=20,
    )
)
def test_what_was_spent_on_a_day_counts_through_stops_and_kills(tmp_path, steps):
    folder = tmp_path / str(next(folders))
    folder.mkdir()
    line = Line(folder)
    truth, kills, day = 0, 0, NOON_S // DAY_S
    for what, amount in steps:
        if what == "spend":
            line.spend(amount)
            truth += amount
        elif what == "wait":
            line.wait(amount)
        elif what == "stop":
            line.budget.close()
            line.start()
        else:
            kills += 1
            line.start()
        if line.now_s // DAY_S != day:
            truth, kills, day = 0, 0, line.now_s // DAY_S
        assert truth <= line.spent <= truth + kills * (STEP_SHARE * MB + 1)


def test_a_day_ends_at_midnight_utc_and_by_a_clock_that_was_set_back_after_24_hours(line):
    line.spend(MB)
    line.now_s -= 3 * DAY_S
    line.budget.keep()
    assert line.budget.waits == "records"
    line.start()  # also after a restart
    assert line.budget.waits == "records"
    line.wait(DAY_S - 1)
    assert line.budget.waits == "records"
    line.wait(1)
    assert line.spent == 0
    line.spend(MB)
    line.wait(DAY_S / 2)  # midnight of the day that the clock says now
    assert line.spent == 0


def test_without_a_budget_nothing_is_counted_and_nothing_waits(tmp_path):
    line = Line(tmp_path, day_bytes=None)
    line.spend(10**12)
    line.budget.close()
    assert line.budget.waits == "nothing"
    assert line.budget.status is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\xff", b'{"day": "yesterday"}'])
def test_a_count_that_cannot_be_read_is_told_and_begun_anew(tmp_path, content):
    (tmp_path / BUDGET_FILE).write_bytes(content)
    with capture_logs() as logs:
        line = Line(tmp_path)
    assert [entry["event"] for entry in logs] == ["budget_file_not_read"]
    assert line.spent == 0


def test_a_count_that_cannot_be_written_stops_nobody_and_is_told_once(line, tmp_path):
    line.budget._path = tmp_path / "gone" / BUDGET_FILE
    with capture_logs() as logs:
        line.spend(MB // 2)
        line.spend(MB // 10)
    assert [entry["event"] for entry in logs] == ["budget_file_not_written"]
    assert line.spent == MB * 6 // 10


def test_what_waits_is_logged_once_each_and_that_a_day_begins(line):
    with capture_logs() as logs:
        for _ in range(24):
            line.spend(MB // 20)
        line.wait(DAY_S / 2)
    assert [(entry["event"], entry["waits"], entry["log_level"]) for entry in logs] == [
        ("budget", "telemetry", "warning"),
        ("budget", "backlog", "warning"),
        ("budget", "records", "warning"),
        ("budget", "nothing", "info"),
    ]


def test_the_count_is_written_seldom(line):
    written = set()
    for _ in range(10_000):
        line.spend(10)
        written.add((line.folder / BUDGET_FILE).read_bytes())
    assert len(written) < 120  # of a tenth of the budget


@pytest.fixture
def make_metered_box(make_box):
    """A box over a link that counts what is published on it, in the middle of the day."""

    def make(telemetry=(), predictions=()):
        box = make_box(daily_budget_bytes=MB, heartbeat_interval_s=15)
        box.outbox.accept(telemetry, predictions)
        link = type(box.link)()
        link.sent_bytes = link.received_bytes = 0
        publish = link.publish

        def counted(message):
            link.sent_bytes += len(message.topic) + len(message.payload)
            return publish(message)

        link.publish = counted
        box.now_s = NOON_S
        box.start(link)
        box.turn(Connected(), box.centre())
        return box

    return make


def kinds_sent(box, since=0):
    """How many of each kind of record went out after the first so many messages."""
    records = {"records": [], "backfill": []}
    for sent in box.link.published[since:]:
        kind = sent.topic.split("/")[-1]
        if kind in records:
            records[kind] += [bytes(body) for _, body in m.decode_envelope(sent.payload).records]
    return records


def test_telemetry_waits_first_then_the_backlog_then_every_record_and_the_next_day_all_of_it_goes(make_metered_box):
    box = make_metered_box()
    telemetry, prediction = b'{"kind":"telemetry"}', b'{"kind":"prediction"}'

    def a_row_comes():
        before = len(box.link.published)
        box.outbox.accept([telemetry], [prediction])
        box.turn()
        return kinds_sent(box, before)["records"]

    assert a_row_comes() == [telemetry, prediction]
    seen = []
    for share in (0.7, 0.85, 1.0):
        box.link.received_bytes = int(share * MB) - box.link.sent_bytes
        box.turn()
        seen.append((a_row_comes(), box.link.statuses()[-1]))
    assert [sent for sent, _ in seen] == [[prediction], [prediction], []]
    assert [(status.budget.waits, status.heartbeat_interval_s) for _, status in seen] == [
        ("telemetry", 150),
        ("backlog", 150),
        ("records", 3600),
    ]

    before = len(box.link.published)
    box.turn(box.ack(committed=[(1, 2), (4, 4), (6, 6)]), after_s=DAY_S / 2)
    assert box.link.statuses()[-1].budget.waits == "nothing"
    assert box.link.statuses()[-1].heartbeat_interval_s == 15
    sent = kinds_sent(box, before)
    assert sorted(sent["records"] + sent["backfill"]) == [prediction] + [telemetry] * 3
    assert box.outbox.status().unacked == 4


def test_rarer_heartbeats_are_promised_at_once_and_kept(make_metered_box):
    box = make_metered_box()
    box.link.received_bytes = int(0.7 * MB)
    box.turn()
    assert [status.heartbeat_interval_s for status in box.link.statuses()] == [15, 150]
    for _ in range(9):
        box.turn(after_s=15)
    assert len(box.link.statuses()) == 2
    box.turn(after_s=15)
    assert len(box.link.statuses()) == 3


def test_a_backlog_of_predictions_goes_until_85_percent_and_of_telemetry_until_70(make_metered_box):
    box = make_metered_box([b'"%s"' % (b"t" * 9998)] * 90, [b'"%s"' % (b"p" * 9998)] * 90)
    for _ in range(30):
        sent = [seq for seqs in box.link.seqs("records") + box.link.seqs("backfill") for seq in seqs]
        box.turn(*([box.ack(committed=[(seq, seq) for seq in sent])] if sent else []), after_s=1)
    sent = kinds_sent(box)
    bodies = sent["records"] + sent["backfill"]
    by_kind = Counter(body[1:2] for body in bodies)
    assert by_kind[b"p"] >= LIVE_TAIL_RECORDS
    assert by_kind[b"t"] >= 5
    assert 0.85 * MB <= box.link.sent_bytes < 0.87 * MB  # a record, and what is not a record, may go over it
    assert box.outbox.status().unacked == 180 - len(bodies)


def test_on_a_new_day_the_newest_records_go_first(make_metered_box):
    box = make_metered_box()
    box.link.received_bytes = MB
    box.turn()
    box.outbox.accept([], [b"{}"] * (LIVE_TAIL_RECORDS + 30))
    box.turn()
    assert box.link.seqs("records") == []
    box.turn(after_s=DAY_S / 2)
    assert box.link.seqs("records") == [list(range(31, LIVE_TAIL_RECORDS + 31))]
    assert box.link.seqs("backfill") == [list(range(1, 31))]


def test_what_is_tried_seldom_is_not_tried_while_anything_waits(make_metered_box):
    box = make_metered_box(telemetry=[b"{}"])
    box.delivery._sender._suspects.park(1, box.clock_s)
    box.turn(Connected())
    sent = len(box.link.seqs("records"))
    box.link.received_bytes = int(0.7 * MB)
    box.turn(after_s=PARKED_REST_S)
    assert len(box.link.seqs("records") + box.link.seqs("backfill")) == sent
    box.turn(after_s=DAY_S / 2)
    assert box.link.seqs("backfill")[-1] == [1]


def test_commands_are_answered_when_all_is_spent(make_keyed_box):
    box = make_keyed_box()
    box.settings = box.settings.model_copy(
        update={"delivery": box.settings.delivery.model_copy(update={"daily_budget_bytes": MB})}
    )
    box.start()
    box.link.received_bytes = 2 * MB
    box.turn(Connected(), box.centre())
    box.turn(box.command(m.Predict(engine="E-1")))
    assert box.delivery.view().budget.waits == "records"
    assert [reply.outcome for reply in box.link.replies()] == ["done"]


def test_a_status_without_a_budget_is_still_understood():
    with_budget = {"day_bytes": 5, "spent_bytes": 1, "waits": "nothing"}
    assert msgspec.convert(with_budget, m.BudgetStatus) == m.BudgetStatus(**with_budget)
    assert "budget" not in {field.name for field in msgspec.structs.fields(m.Status) if field.required}
    assert json.loads(msgspec.json.encode(m.BudgetStatus(**with_budget))) == with_budget
