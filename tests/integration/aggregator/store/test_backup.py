"""Backups of the SQLite store: taken while it is used, put back as a new history."""

import sqlite3

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import OperationalError

from aggregator.store.arrivals import Entry, EnvelopeArrival
from aggregator.store.backup import back_up, in_use, restore
from aggregator.store.commit import commit
from aggregator.store.database import Store, StoreError, open_store
from shared.messages import digest, encode
from shared.topics import GatewayTopic


@pytest.fixture
def dialect():
    return "sqlite"


@pytest.fixture
def record(store, recorder, clock):
    recorder.register("E1")

    def send(cycle):
        body = encode(recorder.row("E1", cycle))
        topic, received_at = GatewayTopic("hamburg", "gw-1", "records"), clock()
        entry = Entry(cycle, body, digest(body), topic, received_at, recorder.row("E1", cycle))
        commit(store, [EnvelopeArrival(topic, "stream-1", [entry], received_at)])

    return send


def cycles(path):
    connection = sqlite3.connect(path)
    found = [cycle for (cycle,) in connection.execute("SELECT cycle FROM telemetry ORDER BY cycle")]
    connection.close()
    return found


def test_a_backup_of_a_store_in_use_is_restored_under_a_new_epoch(store, record, tmp_path):
    epoch = store.epoch()
    record(1)
    with in_use(store):
        back_up(store, tmp_path / "backup.db")
    record(2)
    assert (cycles(tmp_path / "store.db"), cycles(tmp_path / "backup.db")) == ([1, 2], [1])
    store.close()

    closed = Store(f"sqlite:///{tmp_path / 'store.db'}")
    renewed = restore(closed, tmp_path / "backup.db")

    assert cycles(tmp_path / "store.db") == [1]
    assert cycles(tmp_path / "store.db.replaced") == [1, 2]
    reopened = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    assert reopened.epoch() == renewed != epoch
    reopened.close()


def test_a_store_that_was_lost_altogether_is_restored(store, record, tmp_path):
    record(1)
    back_up(store, tmp_path / "backup.db")
    elsewhere = Store(f"sqlite:///{tmp_path / 'new' / 'store.db'}")
    restore(elsewhere, tmp_path / "backup.db")
    assert cycles(tmp_path / "new" / "store.db") == [1]


def test_nothing_is_restored_while_the_store_is_served(store, record, tmp_path):
    record(1)
    back_up(store, tmp_path / "backup.db")
    with in_use(store), pytest.raises(StoreError, match="is in use; stop the aggregator"):
        restore(store, tmp_path / "backup.db")
    assert cycles(tmp_path / "store.db") == [1]


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "is no backup"), (b"something else" * 100, "is no backup"), (b"", "is no backup")]
)
def test_what_is_no_backup_is_refused_and_the_store_stays(store, record, tmp_path, content, reason):
    record(1)
    if content is not None:
        (tmp_path / "backup.db").write_bytes(content)
    with pytest.raises(StoreError, match=reason):
        restore(store, tmp_path / "backup.db")
    assert cycles(tmp_path / "store.db") == [1]


def test_a_damaged_backup_is_refused(store, record, tmp_path):
    for cycle in range(1, 200):
        record(cycle)
    backup = tmp_path / "backup.db"
    back_up(store, backup)
    content = bytearray(backup.read_bytes())
    content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
    backup.write_bytes(content)
    with pytest.raises(StoreError, match=r"is damaged|is no backup"):
        restore(store, backup)
    assert len(cycles(tmp_path / "store.db")) == 199


def test_a_backup_overwrites_nothing(store, tmp_path):
    (tmp_path / "backup.db").write_text("mine")
    with pytest.raises(StoreError, match="exists already"):
        back_up(store, tmp_path / "backup.db")
    assert (tmp_path / "backup.db").read_text() == "mine"


def test_a_backup_that_has_no_place_says_so(store, tmp_path):
    with pytest.raises(StoreError, match="cannot be made"):
        back_up(store, tmp_path / "nowhere" / "backup.db")


def test_what_an_earlier_restore_replaced_is_not_overwritten(store, record, tmp_path):
    record(1)
    back_up(store, tmp_path / "backup.db")
    record(2)
    store.close()
    restore(store, tmp_path / "backup.db")
    with pytest.raises(StoreError, match=r"store\.db\.replaced of an earlier restore is there still"):
        restore(store, tmp_path / "backup.db")
    assert cycles(tmp_path / "store.db.replaced") == [1, 2]


def fail(*_, **__):
    raise OperationalError("UPDATE", {}, Exception("no space left"))


class TestServer:
    @pytest.fixture
    def dialect(self):
        return "postgresql"

    def test_a_backup_is_restored_into_an_empty_database_under_a_new_epoch(
        self, store, record, postgresql_server, tmp_path
    ):
        epoch = store.epoch()
        record(1)
        back_up(store, tmp_path / "backup")
        record(2)
        empty = Store(postgresql_server.new_database())
        renewed = restore(empty, tmp_path / "backup")
        reopened = open_store(empty.engine.url.render_as_string(hide_password=False))
        with reopened.engine.connect() as connection:
            assert list(connection.scalars(text("SELECT cycle FROM telemetry"))) == [1]
        assert reopened.epoch() == renewed != epoch
        for each in (empty, reopened):
            each.close()

    def test_a_restore_whose_migration_fails_has_its_new_epoch_already(
        self, store, record, postgresql_server, tmp_path, monkeypatch
    ):
        epoch = store.epoch()
        back_up(store, tmp_path / "backup")
        half = Store(postgresql_server.new_database())
        with monkeypatch.context() as patch:
            patch.setattr(Store, "migrate", fail)
            with pytest.raises(StoreError, match="no space left"):
                restore(half, tmp_path / "backup")
        assert half.epoch() != epoch
        half.close()

    def test_a_restore_that_cannot_draw_its_epoch_says_what_is_left_to_do(
        self, store, record, postgresql_server, tmp_path, monkeypatch
    ):
        back_up(store, tmp_path / "backup")
        half = Store(postgresql_server.new_database())
        monkeypatch.setattr(Store, "renew_epoch", fail)
        with pytest.raises(
            StoreError, match=r"under its old epoch still .*run: spoolwatch-aggregator migrate; .*new-epoch"
        ):
            restore(half, tmp_path / "backup")
        half.close()

    def test_a_database_that_is_not_empty_is_not_overwritten(self, store, record, tmp_path):
        record(1)
        back_up(store, tmp_path / "backup")
        with pytest.raises(StoreError, match=r"is not empty, and a restore overwrites nothing: make a new one"):
            restore(store, tmp_path / "backup")

    def test_what_is_no_dump_leaves_the_database_empty(self, postgresql_server, tmp_path):
        (tmp_path / "backup").write_bytes(b"something else" * 100)
        empty = Store(postgresql_server.new_database())
        with pytest.raises(StoreError, match=r"pg_restore failed: .*valid archive"):
            restore(empty, tmp_path / "backup")
        assert inspect(empty.engine).get_table_names() == []
        empty.close()

    def test_a_missing_tool_is_named(self, store, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(StoreError, match=r"pg_dump is not installed: .*postgresql-client"):
            back_up(store, tmp_path / "backup")
        assert list(tmp_path.iterdir()) == []

    def test_a_server_looks_after_its_users_itself(self, store):
        with in_use(store, alone=True), in_use(store):
            pass
