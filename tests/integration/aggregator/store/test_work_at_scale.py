"""What a read costs does not grow with what was recorded. It is counted in rows or steps of the database, not timed."""

import pytest
from sqlalchemy import event, text

from aggregator.store.reads.buckets import BucketSpan, sum_up_predictions, sum_up_telemetry
from aggregator.store.reads.engine import (
    end_rows,
    find_current,
    find_engine,
    latest_channels,
    latest_curve,
    latest_rows,
)
from aggregator.store.reads.history import Span, list_predictions, list_telemetry
from aggregator.store.reads.lineage import list_made, list_models
from benchmarks.api.filling import CYCLE_INTERVAL, Fleet, fill, serial_of
from tests.integration.aggregator.conftest import Clock

ENGINE_ID = 7
ROWS_MAX = 5_000
STEPS_MAX = 400_000
STEPS_AT_ONCE = 1_000
FILLED_AT = Clock()()
SINCE, UNTIL = FILLED_AT - 20 * CYCLE_INTERVAL, FILLED_AT - 90 * CYCLE_INTERVAL
OF_FLEET = ("engine", "gateway", "model")
"""Tables that do not grow with what is recorded, so that it is no matter whether they are walked."""


def _of_current(read):
    return lambda session: read(session, find_current(session, ENGINE_ID))


def _by_bucket(read, **span):
    def sum_up(session):
        installation_id = find_current(session, ENGINE_ID).installation_id
        return read(session, BucketSpan(ENGINE_ID, installation_id, 1, 10_000, 20, **span))

    return sum_up


def _sum_up_two(session, span):
    return sum_up_telemetry(session, span, ["S01", "S24"])


def _page(read, **span):
    return lambda session: read(session, ENGINE_ID, Span(limit=51, **span))


def _made(*sites):
    return lambda session: list_made(session, frozenset(sites) if sites else None, list_models(session), limit=51)


READS = {
    "detail": lambda session: [find_engine(session, None, serial_of(ENGINE_ID - 1))],
    "first rows": _of_current(lambda session, current: end_rows(session, current, 20, newest=False)),
    "latest channels": _of_current(lambda session, current: latest_channels(session, current, 100)),
    "latest rows": _of_current(lambda session, current: latest_rows(session, current, 100)),
    "latest curve": _of_current(lambda session, current: latest_curve(session, current, 100)),
    "first page of predictions": _page(list_predictions),
    "last page of predictions": _page(list_predictions, descending=True),
    "page of predictions in the middle": _page(list_predictions, after=(40, 1_000_000)),
    "page of rows": _page(list_telemetry, descending=True),
    "page of predictions since a time": _page(list_predictions, since=SINCE),
    "page of rows since a time": _page(list_telemetry, since=SINCE),
    "page of predictions until a time": _page(list_predictions, until=UNTIL, descending=True),
    "page of rows until a time": _page(list_telemetry, until=UNTIL, descending=True),
    "points of predictions": _by_bucket(sum_up_predictions),
    "points of predictions since a time": _by_bucket(sum_up_predictions, since=SINCE),
    "points of rows": _by_bucket(_sum_up_two),
    "points of rows since a time": _by_bucket(_sum_up_two, since=SINCE),
    "lineage": _made(),
    "lineage at a site": _made("site-03"),
}


@pytest.fixture(
    params=[
        Fleet(engines=200, predictions=40_000, telemetry=20_000),
        pytest.param(Fleet(engines=1_000, predictions=1_000_000, telemetry=100_000), marks=pytest.mark.long),
    ],
    ids=["40 thousand", "1 million"],
)
def filled(request, store, clock):
    fill(store, request.param, clock())
    return store


def _steps(store, read):
    """How many steps of its machine SQLite takes, in portions."""
    portions = 0

    def count():
        nonlocal portions
        portions += 1

    with store.session() as session:
        driver = session.connection().connection.driver_connection
        driver.set_progress_handler(count, STEPS_AT_ONCE)
        try:
            found = read(session)
        finally:
            driver.set_progress_handler(None, 0)
    return portions * STEPS_AT_ONCE, found


def _rows(store, read):
    """How many rows PostgreSQL looks at."""
    statements = []

    def see(connection, cursor, statement, parameters, *_):
        statements.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", see)
    with store.session() as session:
        found = read(session)
    event.remove(store.engine, "before_cursor_execute", see)
    with store.engine.connect() as connection:
        plans = [
            connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).scalar_one()
            for statement, parameters in statements
        ]
    return sum(_scanned(plan[0]["Plan"]) for plan in plans), found


def _scanned(node):
    own = 0
    if "Scan" in node["Node Type"] and node["Actual Loops"] and node.get("Relation Name") not in OF_FLEET:
        own = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    return own + sum(_scanned(child) for child in node.get("Plans", ()))


def test_each_read_looks_at_what_it_returns_and_little_more(filled):
    dear = {}
    for name, read in READS.items():
        done, found = (_steps if filled.is_sqlite else _rows)(filled, read)
        assert found, name
        if done > (STEPS_MAX if filled.is_sqlite else ROWS_MAX):
            dear[name] = done
    assert dear == {}


def test_a_site_that_made_no_prediction_costs_no_walk_through_those_of_others(filled):
    with filled.writing() as connection:
        moved = text("UPDATE engine SET site = 'elsewhere' WHERE id = :id")
        connection.execute(moved, {"id": ENGINE_ID})
        for table in ("prediction", "current_state"):
            connection.execute(text(f"DELETE FROM {table} WHERE engine_id = :id"), {"id": ENGINE_ID})
    done, found = (_steps if filled.is_sqlite else _rows)(filled, _made("elsewhere"))
    assert found == []
    assert done <= (STEPS_MAX / 10 if filled.is_sqlite else ROWS_MAX)


def test_what_is_filled_in_is_a_fleet_as_ingest_makes_it(store, clock):
    fill(store, Fleet(engines=20, predictions=2_000, telemetry=400), clock())
    with store.session() as session:
        detail = find_engine(session, None, serial_of(0))
        predictions = list_predictions(session, 1, Span())
    assert (detail.row.cycle, detail.current.prediction_cycle, detail.row.gateway) == (100, 100, "gw-00001")
    assert detail.prediction is not None
    assert [prediction.cycle for prediction, _ in predictions] == list(range(1, 101))
    assert max(prediction.received_at for prediction, _ in predictions) == clock()
    with store.engine.connect() as connection:
        taken = connection.execute(text("SELECT model_id, block, cycles FROM taken_cycles WHERE engine_id = 1"))
        bits = {(model, block): cycles.bit_count() for model, block, cycles in taken}
    assert bits == {(1, 0): 62, (1, 1): 38, (0, 1): 20}


def test_what_an_engine_of_a_small_site_had_predicted_long_ago_is_found(store, clock):
    fill(store, Fleet(engines=200, predictions=20_000, telemetry=200), clock())
    with store.writing() as connection:
        connection.execute(text("UPDATE engine SET site = 'elsewhere' WHERE id = :id"), {"id": ENGINE_ID})
        connection.execute(text("DELETE FROM prediction WHERE engine_id = :id AND cycle > 60"), {"id": ENGINE_ID})
    with store.session() as session:
        made = list_made(session, frozenset({"elsewhere"}), list_models(session), limit=20)
        rest = list_made(session, frozenset({"elsewhere"}), list_models(session), made[-1].prediction.id, limit=100)
    assert {one.serial for one in made + rest} == {serial_of(ENGINE_ID - 1)}
    assert [one.prediction.cycle for one in made + rest] == list(range(60, 0, -1))
