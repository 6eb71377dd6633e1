"""Records live through migrations, up and down."""

import pytest
from sqlalchemy import inspect, select, text

from aggregator.store.database import Store
from aggregator.store.tables import Prediction, Telemetry, core

TELEMETRY = (
    "INSERT INTO telemetry (engine_id, installation_id, cycle, observed_at, received_at, clock_unsynced, channels, "
    "flags, stream, seq) VALUES (1, 'i-1', :cycle, :at, :at, false, '{\"T24\": 1.5}', '{}', 1, :cycle)"
)
PREDICTION = (
    "INSERT INTO prediction (engine_id, installation_id, cycle, observed_at, predicted_at, received_at, "
    "rul_mean_cycles, rul_q05_cycles, rul_q50_cycles, rul_q95_cycles, cap_cycles, model_id, runtime, "
    "window_first_cycle, window_last_cycle, window_rows, flags, input, origin, request_id, stream, seq) VALUES "
    "(1, 'i-1', :cycle, :at, :at, :at, 50, 40, 50, 60, 125, 1, 'r', 1, :cycle, 1, '{}', :input, :origin, '', 1, :cycle)"
)
MONTHS = {
    1: "1970-01-31 23:59:59.999999",
    62: "2026-10-31 23:59:59.000000",
    63: "2026-11-01 00:00:00.000000",
    200: "2026-12-31 00:00:00.000000",
}


@pytest.fixture
def store(database_url):
    store = Store(database_url)
    yield store
    store.close()


def _fill(store):
    with store.writing() as connection:
        for cycle, at in MONTHS.items():
            connection.execute(text(TELEMETRY), {"cycle": cycle, "at": at})
            for origin in ("edge", "centre"):
                parameters = {"cycle": cycle, "at": at, "input": b"\x01", "origin": origin}
                connection.execute(text(PREDICTION), parameters)


def _content(store):
    with store.engine.connect() as connection:
        return [
            [dict(row) for row in connection.execute(select(core(table)).order_by(core(table).c.id)).mappings()]
            for table in (Telemetry, Prediction)
        ]


def _taken(store):
    with store.engine.connect() as connection:
        query = text("SELECT model_id, origin, block, cycles FROM taken_cycles ORDER BY 1, 2, 3")
        return [tuple(row) for row in connection.execute(query)]


def test_records_and_what_they_are_about_live_through_partitions_and_back(store):
    store.migrate("0008")
    _fill(store)
    store.migrate("0009")
    before, taken = _content(store), _taken(store)
    blocks = [(0, 1 << 1 | 1 << 62), (1, 1), (3, 1 << 200 - 3 * 63)]
    lines = [(0, ""), (1, "centre"), (1, "edge")]
    assert taken == [(*line, *block) for line in lines for block in blocks]
    assert [row["cycle"] for row in before[0]] == list(MONTHS)

    store.migrate("0008")
    assert "taken_cycles" not in inspect(store.engine).get_table_names()
    assert _content(store) == before
    store.migrate("0009")
    assert (_content(store), _taken(store)) == (before, taken)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_each_record_is_put_into_its_month_and_the_ids_go_on(store):
    store.migrate("0008")
    _fill(store)
    for version in ("0009", "0008", "0009"):
        store.migrate(version)
    with store.writing() as connection:
        query = text("SELECT cycle, tableoid::regclass::text FROM telemetry ORDER BY cycle")
        months = ("1970_01", "2026_10", "2026_11", "2026_12")
        assert [tuple(row) for row in connection.execute(query)] == [
            (cycle, f"telemetry_{month}") for cycle, month in zip(MONTHS, months, strict=True)
        ]
        added = connection.execute(text(TELEMETRY + " RETURNING id"), {"cycle": 300, "at": "2026-11-21 00:00:00"})
        assert added.scalar_one() == len(MONTHS) + 1
