"""Each list and history is read by an index: no plan walks a whole table that grows with time."""

import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import event

from aggregator.fleet.bands import THRESHOLDS
from aggregator.fleet.conditions import FastDecline, RulLow, SensorBad
from aggregator.fleet.notifying import Wishes
from aggregator.store.audit import list_audit
from aggregator.store.medians import read_recent
from aggregator.store.notifications import has_work, mark_failed, route, take_due
from aggregator.store.reads.alarm_simulation import Limit, Wanted, simulate
from aggregator.store.reads.alarms import AlarmFilter, find_alarm, list_alarm_changes, list_alarms
from aggregator.store.reads.buckets import BucketSpan, sum_up_predictions, sum_up_telemetry
from aggregator.store.reads.changes import read_changes
from aggregator.store.reads.engine import end_rows, find_current, latest_channels, latest_curve, latest_rows
from aggregator.store.reads.fleet import EVERY_ENGINE, list_engines
from aggregator.store.reads.history import Span, list_predictions, list_telemetry
from aggregator.store.reads.installations import InstallationFilter, list_installations
from aggregator.store.reads.lineage import list_made, list_models
from aggregator.store.reads.notifications import list_notifications
from aggregator.store.reads.quarantine import QuarantineFilter, count_set_aside, list_quarantine
from aggregator.store.reads.ranking import EngineOrder
from aggregator.store.receivers import Address, NewReceiver, add_receiver
from benchmarks.api.filling import Fleet, fill

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
SPAN = Span(from_cycle=2, to_cycle=900, limit=100)
GROWING = (
    "telemetry",
    "prediction",
    "quarantine",
    "installation",
    "receipt",
    "audit_entry",
    "alarm",
    "alarm_change",
    "notification",
)
SITE = frozenset({"hamburg"})


def _of_current(read):
    return lambda session: read(session, find_current(session, 1))


def _by_bucket(read):
    return lambda session: read(session, BucketSpan(1, find_current(session, 1).installation_id, 1, 900, 50))


READS = {
    "changes": lambda session: read_changes(session, 5, 10**9, 100, THRESHOLDS),
    "latest channels": _of_current(lambda session, current: latest_channels(session, current, 100)),
    "latest rows": _of_current(lambda session, current: latest_rows(session, current, 100)),
    "latest curve": _of_current(lambda session, current: latest_curve(session, current, 100)),
    "first rows": _of_current(lambda session, current: end_rows(session, current, 20, newest=False)),
    "predictions": lambda session: list_predictions(session, 1, SPAN),
    "telemetry": lambda session: list_telemetry(session, 1, SPAN),
    "telemetry of a time": lambda session: list_telemetry(session, 1, replace(SPAN, since=LONG_AGO)),
    "prediction buckets of a time": _by_bucket(
        lambda session, span: sum_up_predictions(session, replace(span, since=LONG_AGO))
    ),
    "telemetry buckets": _by_bucket(lambda session, span: sum_up_telemetry(session, span, ["T24"])),
    "prediction buckets": _by_bucket(sum_up_predictions),
    "lineage": lambda session: list_made(session, None, list_models(session), limit=100),
    "quarantine": lambda session: list_quarantine(session, None, limit=100),
    "quarantine of a site": lambda session: list_quarantine(session, frozenset({"hamburg"}), limit=100),
    "audit log of a site": lambda session: list_audit(session, frozenset({"hamburg"}), limit=100),
    "quarantine of a gateway": lambda session: list_quarantine(session, None, QuarantineFilter("gw-1"), limit=100),
    "quarantine of an engine": lambda session: list_quarantine(
        session, None, QuarantineFilter(engine="E1"), limit=100, oldest_first=True
    ),
    "lineage of a site": lambda session: list_made(session, frozenset({"hamburg"}), list_models(session), limit=100),
    "alarms": lambda session: list_alarms(session, None, limit=100),
    "alarms of a site": lambda session: list_alarms(session, SITE, limit=100),
    "open alarms of a site": lambda session: list_alarms(session, SITE, AlarmFilter(state="open"), limit=100),
    "alarms of an engine": lambda session: list_alarms(session, None, AlarmFilter(engine="E1"), limit=100),
    "alarms of a gateway": lambda session: list_alarms(session, None, AlarmFilter(gateway="gw-1"), limit=100),
    "an alarm": lambda session: find_alarm(session, SITE, 1),
    "what became of an alarm": lambda session: list_alarm_changes(session, 1, 100),
    "what receivers were told": lambda session: list_notifications(session, None, limit=100),
    "what was given up": lambda session: list_notifications(session, None, "dead", limit=100),
    "what a receiver was told": lambda session: list_notifications(session, SITE, receiver="team", limit=100),
    "a rule tried on predictions": lambda session: simulate(
        session, None, RulLow(below_cycles=20, probability=0.05), Wanted(LONG_AGO), None, Limit(10)
    ),
    "a decline tried on predictions": lambda session: simulate(
        session, None, FastDecline(), Wanted(LONG_AGO), None, Limit(10)
    ),
    "the latest medians of engines": lambda session: read_recent(session.connection(), [1, 2], 30, -22),
    "what was set aside of late": lambda session: count_set_aside(session, LONG_AGO),
    "a rule tried on rows": lambda session: simulate(session, None, SensorBad(), Wanted(LONG_AGO), None, Limit(10)),
    "installations": lambda session: list_installations(session, None, InstallationFilter(), limit=100),
    "installations of an engine": lambda session: list_installations(
        session, None, InstallationFilter("E1"), limit=100
    ),
}


@contextmanager
def seen(engine):
    """Every statement that is run meanwhile, with its parameters."""
    statements = []

    def see(connection, cursor, statement, parameters, *_):
        statements.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", see)
    yield statements
    event.remove(engine, "before_cursor_execute", see)


def plans(store, statements, but_not=()):
    """What the database would do for each statement; PostgreSQL is told that walking a table is dear, or more."""
    with store.engine.connect() as connection:
        for dear in () if store.is_sqlite else ("seqscan", *but_not):
            connection.exec_driver_sql(f"SET enable_{dear} = off")
        for statement, parameters in statements:
            explain = "EXPLAIN QUERY PLAN" if store.is_sqlite else "EXPLAIN"
            rows = connection.exec_driver_sql(f"{explain} {statement}", parameters)
            yield "\n".join(str(row[-1]) for row in rows)


@pytest.mark.parametrize("name", READS)
def test_a_list_is_read_by_an_index(name, store, recorder):
    recorder.engine("E1")
    recorder.garbage()
    with seen(store.engine) as statements, store.session() as session:
        READS[name](session)
    tables = "|".join(GROWING)
    # SQLite walks a table in the order of its ids for the newest of all: no sort follows then, and the limit ends it.
    by_sqlite = rf"(?s)SCAN ({tables})(?! USING (COVERING )?INDEX).*TEMP B-TREE"
    walked = by_sqlite if store.is_sqlite else rf"Seq Scan on ({tables})"
    found = list(plans(store, statements))
    assert any(re.search(rf"\b({tables})(_\w+)?\b", plan) for plan in found)
    for plan in found:
        assert re.search(walked, plan) is None, plan


@pytest.mark.parametrize("cut", [{}, {"since": LONG_AGO}], ids=["whole", "of a time"])
def test_points_of_predictions_are_drawn_from_their_index_alone(cut, store, recorder):
    recorder.engine("E1")
    with store.session() as session:
        span = BucketSpan(1, find_current(session, 1).installation_id, 1, 900, 50, **cut)
        with seen(store.engine) as statements:
            sum_up_predictions(session, span)
    of_predictions = [one for one in statements if "FROM prediction" in one[0]]
    assert len(of_predictions) == 2  # both ends, and the sums
    covering = "COVERING INDEX ix_prediction_history" if store.is_sqlite else "Index Only Scan"
    others = r"(SEARCH|SCAN) prediction USING INDEX" if store.is_sqlite else r"(?<!Only )Scan (using|on) prediction"
    for plan in plans(store, of_predictions, but_not=("indexscan", "bitmapscan")):
        assert covering in plan, plan
        assert re.search(others, plan) is None, plan


@pytest.mark.parametrize("after", [None, (20.0, "E1")])
@pytest.mark.parametrize(("key", "column"), [("risk", "rul_q05_cycles"), ("rul", "rul_q50_cycles")])
def test_engines_are_ranked_by_an_index(key, column, after, store, clock):
    fill(store, Fleet(engines=300, predictions=300, telemetry=300), clock())
    with seen(store.engine) as statements, store.session() as session:
        assert list_engines(session, None, EVERY_ENGINE, EngineOrder(key), after, limit=10)
    (plan,) = plans(store, statements)
    assert f"ix_current_state_{column}" in plan, plan


def test_what_is_to_be_told_is_found_by_indexes_of_just_that(store, recorder, clock):
    team = add_receiver(store, NewReceiver("team", "", Address("apprise", "E-Mail", ""), Wishes()), clock())
    recorder.engine("E1")
    recorder.send(*(recorder.prediction("E1", cycle, q50=10.0) for cycle in (2, 3, 4)))
    with seen(store.engine) as looked:
        with store.session() as session:
            assert has_work(session, clock())
        assert route(store, clock(), lambda _: {}) == 2
        with store.session() as session:
            assert has_work(session, clock())
    with seen(store.engine) as sent:
        mark_failed(store, take_due(store, team, clock()), clock(), "refused")
    found = list(plans(store, [one for one in looked + sent if one[0].startswith(("SELECT", "UPDATE notification"))]))
    assert sum("ix_alarm_change_id_unrouted" in plan for plan in found) == 3
    assert sum("ix_notification_receiver_id_due_at_waiting" in plan for plan in found) >= 2
    tables = "notification|alarm_change|work_order_change"
    walked = rf"SCAN ({tables})(?! USING)" if store.is_sqlite else rf"Seq Scan on ({tables})"
    assert not any(re.search(walked, plan) for plan in found)
