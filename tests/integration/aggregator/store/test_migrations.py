"""Records live through migrations, up and down."""

from pathlib import Path

import pytest
from sqlalchemy import inspect, select, text

from aggregator.store.database import Store, StoreError
from aggregator.store.tables import Prediction, Telemetry, core

FOLDER = Path(__file__).parents[4] / "aggregator" / "store" / "migrations" / "versions"
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

    store.migrate("0008", down=True)
    assert "taken_cycles" not in inspect(store.engine).get_table_names()
    assert _content(store) == before
    store.migrate("0009")
    assert (_content(store), _taken(store)) == (before, taken)


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_each_record_is_put_into_its_month_and_the_ids_go_on(store):
    store.migrate("0008")
    _fill(store)
    for version in ("0009", "0008", "0009"):
        store.migrate(version, down=True)
    with store.writing() as connection:
        query = text("SELECT cycle, tableoid::regclass::text FROM telemetry ORDER BY cycle")
        months = ("1970_01", "2026_10", "2026_11", "2026_12")
        assert [tuple(row) for row in connection.execute(query)] == [
            (cycle, f"telemetry_{month}") for cycle, month in zip(MONTHS, months, strict=True)
        ]
        added = connection.execute(text(TELEMETRY + " RETURNING id"), {"cycle": 300, "at": "2026-11-21 00:00:00"})
        assert added.scalar_one() == len(MONTHS) + 1


@pytest.fixture
def lived(store, recorder, clock):
    """A store with something in each table that one of the first version has, and in some that came later."""
    store.migrate()
    recorder.engine("E1", q50=80.0)
    recorder.send(*(recorder.row("E1", cycle) for cycle in range(2, 80)))
    recorder.send(recorder.row("E9", 1))
    recorder.garbage()
    recorder.status()
    store.epoch()
    return store


def _kept(store):
    """What each version has a place for."""
    columns = {
        "engine": "serial, site, type, status, registered_at",
        "installation": "id, engine_id, gateway_id, position, installed_from, installed_to",
        "telemetry": "id, engine_id, installation_id, cycle, observed_at, received_at, channels, flags, stream, seq",
        "prediction": "id, engine_id, installation_id, cycle, rul_q50_cycles, model_id, input, origin, stream, seq",
        "quarantine": "id, gateway, site, topic, stream_id, seq, reason, body, digest, received_at",
        "current_state": "engine_id, telemetry_seq, telemetry_cycle, channels, rul_q50_cycles, prediction_seq",
        "store_fact WHERE key = 'store_epoch'": "key, value",
    }
    with store.engine.connect() as connection:
        return {
            table: [tuple(row) for row in connection.execute(text(f"SELECT {names} FROM {table} ORDER BY 1"))]
            for table, names in columns.items()
        }


def _digests(store):
    with store.engine.connect() as connection:
        runs = connection.execute(text("SELECT stream, first_seq, digests, quarantine_reason FROM receipt")).all()
    return sorted(
        (stream, first + at // 16, bytes(digests[at : at + 16]), reason)
        for stream, first, digests, reason in runs
        for at in range(0, len(digests), 16)
    )


def test_what_every_version_has_a_place_for_survives_all_the_way_down_and_up(lived):
    kept, digests = _kept(lived), _digests(lived)
    assert all(kept.values())
    versions = sorted((path.name[1:5] for path in FOLDER.glob("v0*.py")), reverse=True)
    for version in versions[1:]:
        lived.migrate(version, down=True)
        assert _kept(lived) == kept
    lived.migrate()
    assert _kept(lived) == kept
    assert _digests(lived) == digests


def test_a_store_goes_down_to_nothing_and_up_again(lived):
    lived.migrate("base", down=True)
    assert inspect(lived.engine).get_table_names() == ["alembic_version"]
    lived.migrate()
    lived.check_migrated()


def test_a_store_goes_down_only_if_told(lived):
    with pytest.raises(StoreError, match=r"going down to 0008 deletes .* make a backup, and add --yes"):
        lived.migrate("0008")
    lived.check_migrated()


def test_a_record_is_known_still_after_the_way_down_and_up(lived, recorder):
    lived.migrate("0001", down=True)
    lived.migrate()
    recorder.restart()
    again = recorder.send(recorder.row("E1", 1))
    assert again.committed_records == 0
    assert again.duplicate_records == 1
