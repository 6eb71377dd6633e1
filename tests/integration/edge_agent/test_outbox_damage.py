"""A damaged outbox file, at the start or at work: it is set aside, told of, and the agent goes on in a fresh stream."""

import json
import os
import resource
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from edge_agent import cli
from edge_agent.outbox import Outbox, OutboxError, StoredState
from edge_agent.outbox.damage import KEPT
from edge_agent.outbox.file import DiskError, OutboxFile
from shared.messages import Ack

LAST = 2**62
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PAGE = 4096


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "outbox.db"


@pytest.fixture
def make(path):
    path.parent.mkdir()
    made = []

    def make():
        made.append(Outbox(path, now=lambda: NOW))
        return made[-1]

    yield make
    for outbox in made:
        outbox.close()


@pytest.fixture
def filled(make, path):
    """The file of an outbox with a few hundred records, properly closed."""
    outbox = make()
    for number in range(100):
        outbox.accept(
            [b"t" * 500] * 3, [b"p" * 500] * 3, cursor=str(number), states={"E-1": StoredState("m", b"state")}
        )
    outbox.begin_session()
    outbox.close()
    return path


def bodies(outbox):
    return [stored.body for stored in outbox.waiting(1, LAST, limit=1000, at=0.0)]


def overwrite(path, offset, content):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def zero_bytes_with_a_log(path):
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE other (x)")
    shutil.copy(path.with_name("outbox.db-wal"), path.with_name("keep"))
    db.close()
    path.write_bytes(b"")
    path.with_name("keep").rename(path.with_name("outbox.db-wal"))


def another_database(path):
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE other (x)")
    db.close()


def a_folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "header": lambda path: overwrite(path, 0, b"\xff" * 100),
    "all_noise": lambda path: path.write_bytes(b"this is no database, whatever its name may say" * 500),
    "schema_page": lambda path: overwrite(path, 100, b"\xff" * (PAGE - 100)),
    "every_other_page": lambda path: overwrite(path, PAGE, b"\xff" * (path.stat().st_size - PAGE)),
    "cut_short": lambda path: os.truncate(path, PAGE + 10),
    "zero_bytes_with_a_log": zero_bytes_with_a_log,
    "another_database": another_database,
    "a_folder": a_folder,
    "version_bytes": lambda path: overwrite(path, 60, b"\xff\x07\x9a\x01"),
    "version_zero": lambda path: overwrite(path, 60, bytes(4)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_never_keeps_the_agent_from_starting(filled, make, path, damage):
    damage(filled)
    outbox = make()
    assert outbox.begin_session().counter >= 1
    outbox.accept([b"fresh"])
    assert bodies(outbox) == [b"fresh"]
    told = outbox.status().damage
    assert "outbox.db.damaged-20260102T030405Z at 2026-01-02 03:04:05 UTC" in told
    assert (path.parent / "outbox.db.damaged-20260102T030405Z" / "outbox.db").exists()
    assert str(path) in told


def test_a_sound_file_that_cannot_be_opened_for_now_is_left_as_it_is(filled, make):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        with pytest.raises(OutboxError, match=r"outbox\.db.*open files"):
            make()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert list(filled.parent.glob("*damaged*")) == []
    outbox = make()
    assert (outbox.status().unacked, outbox.status().damage) == (600, None)


def test_the_damage_is_still_told_after_a_restart(filled, make, path):
    DAMAGES["header"](filled)
    make().close()
    assert "set aside" in make().status().damage


@pytest.fixture
def at_work(filled, make):
    """An outbox that is open while its file is ruined underneath, log and all."""
    outbox = make()
    outbox.begin_session()
    before = outbox.stream_id

    def ruin():
        outbox._file.empty_log()
        DAMAGES["every_other_page"](filled)
        outbox._file.execute("PRAGMA shrink_memory")

    return outbox, before, ruin


def test_a_step_in_memory_is_not_lost_when_the_file_turns_out_damaged(at_work):
    outbox, before, ruin = at_work
    ruin()
    outbox.accept([b"a"], [b"b"], cursor="9", states={"E-1": StoredState("m", b"new")})
    assert outbox.stream_id != before
    assert bodies(outbox) == [b"a", b"b"]
    assert (outbox.cursor, outbox.engine_state("E-1")) == ("9", StoredState("m", b"new"))
    assert "malformed" in outbox.status().damage
    outbox.close()


@pytest.mark.parametrize(
    "look",
    [
        lambda outbox: outbox.waiting(1, LAST, limit=10, at=0.0),
        lambda outbox: outbox.settle(Ack(stream_id=outbox.stream_id, committed=[(1, 10)]), at=0.0),
        lambda outbox: list(outbox.held_slices()),
        lambda outbox: list(outbox.resend_slices([(1, 10)])),
        lambda outbox: outbox.begin_new_stream(),
        lambda outbox: outbox.status(),
        lambda outbox: outbox.begin_session(),
        lambda outbox: outbox.engine_state("E-1"),
    ],
    ids=[
        "waiting",
        "settle",
        "held_slices",
        "resend_slices",
        "begin_new_stream",
        "status",
        "begin_session",
        "engine_state",
    ],
)
def test_whoever_notices_the_damage_finds_a_fresh_stream(at_work, look):
    outbox, before, ruin = at_work
    ruin()
    look(outbox)
    assert outbox.stream_id != before
    assert outbox.status().unacked == 0
    outbox.close()


def test_an_answer_about_the_lost_stream_frees_nothing_of_the_fresh_one(at_work):
    outbox, before, ruin = at_work
    ruin()
    outbox.accept([b"a"])
    outbox.settle(Ack(stream_id=before, committed=[(1, 100)]), at=0.0)
    assert bodies(outbox) == [b"a"]
    outbox.close()


def test_sessions_go_on_counting_when_the_file_is_replaced_at_work(at_work, make):
    outbox, _, ruin = at_work
    ruin()
    outbox.accept([b"a"])
    outbox.close()
    assert make().begin_session().counter == 3


def test_a_file_that_was_deleted_at_work_is_replaced(at_work, path):
    outbox, before, _ = at_work
    path.unlink()
    outbox.accept([b"a"])
    assert path.exists()
    assert bodies(outbox) == [b"a"]
    assert outbox.stream_id != before
    outbox.close()


def test_only_the_newest_damaged_files_are_kept(path, make):
    for number in range(KEPT + 3):
        path.write_bytes(b"noise" * 1000)
        Outbox(path, now=lambda number=number: NOW + timedelta(minutes=number)).close()
    kept = sorted(folder.name for folder in path.parent.glob("outbox.db.damaged-*"))
    assert len(kept) == KEPT
    assert kept[-1] == f"outbox.db.damaged-20260102T0309{NOW:%S}Z"


def test_two_damages_in_one_second_are_both_kept(path, make):
    for _ in range(2):
        path.write_bytes(b"noise" * 1000)
        make().close()
    assert len(list(path.parent.glob("outbox.db.damaged-*"))) == 2


def test_a_look_from_outside_moves_nothing(filled):
    DAMAGES["header"](filled)
    with pytest.raises(OutboxError, match=r"outbox\.db"):
        Outbox(filled, read_only=True)
    assert filled.exists()


def test_the_status_command_tells_of_the_damage(filled, make, tmp_path, capsys):
    DAMAGES["header"](filled)
    make().close()
    (tmp_path / "rows.txt").touch()
    config = tmp_path / "agent.toml"
    config.write_text(
        f'site = "hamburg"\ngateway = "gw-1"\ndata_dir = "{filled.parent}"\nengines = [{{serial = "E-1"}}]\n'
        f'source = {{kind = "file", path = "{tmp_path}/rows.txt"}}\n'
    )
    (filled.parent / "lock").touch()
    cli.main(["status", "--config", str(config)])
    assert "damage     " in capsys.readouterr().out
    cli.main(["status", "--config", str(config), "--json"])
    assert "set aside" in json.loads(capsys.readouterr().out)["outbox"]["damage"]


def refuse_writes(monkeypatch, statement):
    """The disk is full for statements that begin like this."""
    execute = OutboxFile.execute

    def full(file, text, parameters=()):
        if text.strip().startswith(statement):
            raise DiskError("database or disk is full")
        return execute(file, text, parameters)

    monkeypatch.setattr(OutboxFile, "execute", full)


@pytest.mark.parametrize("statement", ["CREATE TABLE", "UPDATE head SET damage"], ids=["no file", "no word of it"])
def test_damage_found_on_a_full_disk_is_told_by_the_next_start_that_finds_room(filled, make, monkeypatch, statement):
    DAMAGES["header"](filled)
    with monkeypatch.context() as full:
        refuse_writes(full, statement)
        with pytest.raises(OutboxError, match="full"):
            make()
    outbox = make()
    assert "set aside as outbox.db.damaged-20260102T030405Z" in outbox.status().damage
    outbox.accept([b"fresh"])
    assert bodies(outbox) == [b"fresh"]


def test_damage_is_told_where_the_agent_was_killed_before_it_could_note_it(filled, make):
    DAMAGES["header"](filled)
    make().close()
    with sqlite3.connect(filled) as db:
        db.execute("UPDATE head SET damage = NULL")
    db.close()
    assert "set aside as outbox.db.damaged-20260102T030405Z" in make().status().damage


def test_a_fresh_outbox_has_no_damage_to_tell(make):
    assert make().status().damage is None


def test_a_data_folder_removed_under_the_agent_is_an_error_that_is_waited_out(make, path):
    outbox = make()
    outbox.accept([b"t"])
    shutil.rmtree(path.parent)
    for work in (outbox.status, lambda: outbox.accept([b"t"])):
        with pytest.raises(OutboxError, match=r"outbox|free space"):
            work()
    path.parent.mkdir()
    outbox.accept([b"u"])
    assert bodies(outbox) == [b"u"]
