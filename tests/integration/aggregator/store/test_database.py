"""The store itself: migration, epoch, probe, and what it says when it cannot be used."""

import re

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from aggregator.store import schema
from aggregator.store.database import Store, StoreError, is_out_of_reach, open_store
from aggregator.store.partitions import PARTITIONED
from aggregator.store.tables import Receipt, Table, UtcDateTime, core
from shared.errors import SettingsError


def test_the_migrations_make_exactly_the_tables(store):
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": _is_no_partition})
        assert compare_metadata(context, Table.metadata) == []


def _is_no_partition(name, kind, _):
    return kind != "table" or not re.fullmatch(rf"({'|'.join(PARTITIONED)})_(\d{{4}}_\d\d|default)", name)


def test_to_migrate_twice_changes_nothing(store):
    epoch = store.epoch()
    store.migrate()
    store.check_migrated()
    assert store.epoch() == epoch


def test_the_version_of_this_program_is_the_one_that_alembic_ends_at():
    assert ScriptDirectory(str(schema.MIGRATIONS)).get_heads() == [schema.head()]


def test_receipts_of_the_first_version_become_runs_of_one(database_url):
    store = Store(database_url)
    store.migrate("0001")
    with store.writing() as connection:
        connection.execute(text("INSERT INTO gateway (id, name, site) VALUES (1, 'gw-1', 'hamburg')"))
        connection.execute(text("INSERT INTO stream VALUES (1, 1, 's', 1, '2026-11-21 12:00:00.000000', NULL)"))
        receipt = "INSERT INTO receipt VALUES (1, 7, :digest, 'bad', '2026-11-21 12:00:00.000000')"
        connection.execute(text(receipt), {"digest": b"0123456789abcdef"})
    store.migrate()
    with store.engine.connect() as connection:
        (receipt,) = connection.execute(select(core(Receipt))).mappings()
    assert (receipt["first_seq"], receipt["last_seq"], receipt["quarantine_reason"]) == (7, 7, "bad")
    assert receipt["digests"] == b"0123456789abcdef"
    store.close()


def test_a_store_that_is_not_migrated_says_how_to(database_url):
    store = Store(database_url)
    with pytest.raises(
        StoreError, match=r"at version none, this program needs \d{4}; run: spoolwatch-aggregator migrate"
    ):
        store.check_migrated()
    store.close()


def test_a_store_of_a_newer_version_is_refused(store):
    with store.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="used by a newer version"):
        store.migrate()


def test_the_probe_writes_and_reads(store):
    store.probe()
    store.probe()
    with store.writing() as connection:
        connection.execute(text("DROP TABLE store_fact"))
    with pytest.raises(SQLAlchemyError):
        store.probe()


def test_times_come_back_aware_and_naive_ones_are_refused(clock):
    column = UtcDateTime()
    with pytest.raises(ValueError, match="has no time zone"):
        column.process_bind_param(clock().replace(tzinfo=None), None)


def test_open_makes_a_sqlite_store_and_its_folder(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/new/store.db")
    store.check_migrated()
    store.close()


def test_open_migrates_a_server_only_if_told(postgresql_url):
    with pytest.raises(StoreError, match="spoolwatch-aggregator migrate"):
        open_store(postgresql_url)
    open_store(postgresql_url, migrate="head").close()
    open_store(postgresql_url).close()


def test_a_folder_that_cannot_be_made_is_a_setting_to_correct(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="there is no place for the store"):
        open_store(f"sqlite:///{tmp_path}/file/store.db")


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(StoreError, match=r"cannot be opened: .*refused"):
        open_store("postgresql://spoolwatch@127.0.0.1:1/spoolwatch")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite://", "in memory forgets everything"),
        ("sqlite:///:memory:", "in memory forgets everything"),
        ("mysql://localhost/x", "must start with sqlite:/// or postgresql://"),
        ("no url", "database_url: "),
    ],
)
def test_a_url_that_cannot_work_is_refused_with_its_reason(url, reason):
    with pytest.raises(SettingsError, match=reason):
        Store(url)


def test_a_lock_that_others_hold_is_out_of_reach_and_a_wrong_statement_is_not(store):
    impatience = "PRAGMA busy_timeout = 50" if store.is_sqlite else "SET lock_timeout = 50"
    write = "UPDATE store_fact SET value = value"
    with store.engine.connect() as other:
        other.exec_driver_sql(impatience)
        other.commit()
        with store.writing() as connection:
            connection.exec_driver_sql(write)
            with pytest.raises(SQLAlchemyError) as locked:
                other.exec_driver_sql(write)
        other.rollback()
        with pytest.raises(SQLAlchemyError) as wrong:
            other.exec_driver_sql("SELECT * FROM nowhere")
    assert (is_out_of_reach(locked.value), is_out_of_reach(wrong.value)) == (True, False)


def test_a_server_that_does_not_answer_is_out_of_reach():
    nobody = Store("postgresql://spoolwatch@127.0.0.1:1/nothing")
    with pytest.raises(SQLAlchemyError) as refused:
        nobody.engine.connect()
    assert is_out_of_reach(refused.value)
