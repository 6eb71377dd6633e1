"""The commands that end by themselves."""

import base64
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from getpass import getuser

import pytest

from aggregator.access.passwords import is_password
from aggregator.cli import main
from aggregator.store.arrivals import ReplyArrival
from aggregator.store.audit import list_audit
from aggregator.store.commit import commit
from aggregator.store.database import open_store
from aggregator.store.logins import begin_login
from aggregator.store.missing import UNAVAILABLE
from aggregator.store.people import find_person
from aggregator.store.tables import Login
from shared.enrolment import parse_token
from shared.messages import Reply
from shared.topics import GatewayTopic
from tests.integration.aggregator.conftest import Clock, Recorder


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run a command in an empty folder and on a data folder in it; returns its exit status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPOOLWATCH_AGGREGATOR_DATA_DIR", "centre")

    def run(*arguments):
        status = 0
        try:
            main(arguments)
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def said(tmp_path):
    """What a command says of the store that it uses."""
    return f"store: sqlite:///{tmp_path / 'centre' / 'store.db'}\n"


ADD = ("engine", "add", "E1", "--site", "hamburg", "--gateway", "gw-1", "--position", "left")


def test_engines_are_added_and_listed_in_the_store_that_is_told(command, said):
    command("migrate")
    assert command(*ADD) == (0, "engine E1 is registered at hamburg/gw-1\n", said)
    assert command("engine", "list") == (0, "E1\thamburg\tgw-1\tleft\n", said)


def test_an_engine_is_installed_removed_and_retired(command):
    command("migrate")
    command(*ADD)
    place = ("--gateway", "gw-1", "--position", "left")
    assert command("engine", "add", "E2", "--site", "hamburg", "--type", "pump")[:2] == (
        0,
        "engine E2 is registered at hamburg\n",
    )
    status, _, errors = command("engine", "install", "E2", *place)
    assert status == 1
    assert "position left of gateway gw-1 holds engine E1 until now" in errors
    assert command("engine", "remove", "E1")[:2] == (0, "engine E1 is removed\n")
    installed = command("engine", "install", "E2", *place, "--cycle", "40")[1]
    assert installed == "engine E2 is installed at position left of gateway gw-1\n"
    assert command("engine", "list")[1] == "E1\thamburg\t\t\nE2\thamburg\tgw-1\tleft\n"
    assert command("engine", "remove", "E1")[2].endswith("engine E1 is installed nowhere\n")
    assert command("engine", "overhaul", "E2", "--after-cycle", "7")[1] == "engine E2 is as new; this was overhaul 1\n"
    assert command("engine", "retire", "E2")[:2] == (0, "engine E2 is retired\n")
    assert command("engine", "list")[1] == "E1\thamburg\t\t\nE2\thamburg\t\t\n"


def test_a_time_without_a_zone_is_refused(command):
    status, _, errors = command("engine", "remove", "E1", "--at", "2026-11-21T06:00")
    assert status == 2
    assert "has no time zone: end it with Z" in errors


USER = ("user", "add", "anna", "--role", "engineer")


@pytest.mark.parametrize("words", [ADD, ("engine", "list"), ("missing",), ("new-epoch",), USER, ("user", "list")])
def test_a_command_makes_no_store_where_there_is_none(command, tmp_path, words):
    status, output, errors = command(*words)
    assert (status, output) == (1, "")
    assert f"there is no store at {tmp_path / 'centre' / 'store.db'}" in errors
    assert all(way in errors for way in ("serve", "migrate", "--data-dir", "--config"))
    assert list(tmp_path.iterdir()) == []


def test_a_command_is_led_to_the_store_by_a_flag(command, tmp_path):
    command("migrate", "--data-dir", "elsewhere")
    assert command(*ADD, "--data-dir", "elsewhere")[0] == 0
    assert not (tmp_path / "centre").exists()


def test_a_contradicting_engine_is_refused(command, said):
    command("migrate")
    command(*ADD)
    status, _, errors = command(*ADD[:-1], "right")
    assert (status, errors) == (1, f"{said}engine E1 is registered already, at another place\n")


def test_migrate_brings_a_server_up_to_date(command, postgresql_url):
    status, _, errors = command("engine", "list", "--database-url", postgresql_url)
    assert status == 1
    assert "run: spoolwatch-aggregator migrate" in errors
    assert command("migrate", "--database-url", postgresql_url) == (0, "the store is up to date\n", "")
    assert command("engine", "list", "--database-url", postgresql_url)[:2] == (0, "")


def test_check_is_content_with_the_defaults(command):
    assert command("check") == (0, "the settings are good\n", "")


def test_check_names_every_wrong_setting(command, tmp_path):
    (tmp_path / "file.toml").write_text('replica = "a/b"\nrepilca = "b"\n[api]\nrate = "many"\n')
    status, _, errors = command("check", "--config", "file.toml")
    assert status == 78
    assert [line.split(":")[0] for line in errors.splitlines()] == ["replica", "api.rate", "repilca"]
    assert "SPOOLWATCH_AGGREGATOR_API__RATE" in errors


def test_check_looks_at_the_database_url(command):
    status, _, errors = command("check", "--database-url", "mysql://localhost/x")
    assert (status, "must start with sqlite:/// or postgresql://" in errors) == (78, True)


@pytest.mark.parametrize("folder", ["/proc/x", "/proc/x/y", "/dev/null"])
def test_check_names_a_data_folder_that_cannot_be_written_to(command, folder):
    status, _, errors = command("check", "--data-dir", folder)
    assert (status, errors.startswith(f"data_dir {folder}: this user cannot make or write to it")) == (78, True)


def test_check_makes_no_folder(command, tmp_path):
    assert command("check", "--data-dir", "new/folder")[0] == 0
    assert list(tmp_path.iterdir()) == []


def test_check_asks_the_database(command, postgresql_url, free_tcp_port):
    assert command("check", "--database-url", postgresql_url)[0] == 0
    nobody = f"postgresql://centre:secret@127.0.0.1:{free_tcp_port}/fleet"
    status, _, errors = command("check", "--database-url", nobody)
    assert (status, "database_url" in errors, "does not answer" in errors, "secret" in errors) == (
        78,
        True,
        True,
        False,
    )


def test_check_reads_the_password_file(command):
    status, _, errors = command("check", "--broker.password-file", "none")
    assert (status, "none" in errors) == (78, True)


def test_check_refuses_to_serve_others_before_there_are_accounts(command):
    for _ in range(2):
        status, _, errors = command("check", "--api.host", "0.0.0.0")  # noqa: S104  # what is refused
        assert (status, "spoolwatch-aggregator user add NAME --role admin" in errors) == (78, True)
        command("migrate")
    command(*USER, "--draw-password")
    assert command("check", "--api.host", "0.0.0.0")[0] == 0  # noqa: S104


def test_a_person_is_added_with_a_password_that_is_drawn(command, said, tmp_path):
    command("migrate")
    status, output, errors = command(*USER, "--draw-password", "--site", "hamburg", "--site", "bremen")
    added, _, password = output.partition("\npassword: ")
    assert (status, added, errors) == (0, "anna may log in, as engineer at hamburg and bremen", said)
    store = open_store(f"sqlite:///{tmp_path / 'centre' / 'store.db'}")
    with store.session() as session:
        assert is_password(password.strip(), find_person(session, "anna").password_hash)
        (entry,) = list_audit(session, None)
    store.close()
    assert (entry.who, entry.address, entry.action) == (f"{getuser()} on this machine", None, "person.add")
    assert command("user", "list")[1] == "anna\tengineer@hamburg engineer@bremen\tenabled\n"
    status, _, errors = command(*USER, "--draw-password")
    assert (status, "there is a person anna already" in errors) == (1, True)


def test_a_password_is_read_from_a_file(command, tmp_path):
    command("migrate")
    (tmp_path / "password").write_text("correct horse battery\n")
    status, output, _ = command(*USER, "--password-file", "password")
    assert (status, output) == (0, "anna may log in, as engineer at all sites\n")


def test_a_person_who_forgot_the_password_gets_another_one_and_is_logged_out(command, said, tmp_path):
    command("migrate")
    command(*USER, "--draw-password")
    store = open_store(f"sqlite:///{tmp_path / 'centre' / 'store.db'}")
    begin_login(store, "anna", "a login", "127.0.0.1", now := datetime.now(UTC), now + timedelta(days=7))
    status, output, errors = command("user", "password", "anna", "--draw-password")
    told, _, password = output.partition("\npassword: ")
    assert (status, told, errors) == (0, "anna has another password, and is logged out everywhere", said)
    with store.session() as session:
        assert is_password(password.strip(), find_person(session, "anna").password_hash)
        assert session.get_one(Login, "a login").ended_at is not None
        assert [entry.action for entry in list_audit(session, None)] == ["person.change", "login", "person.add"]
    store.close()
    status, _, errors = command("user", "password", "ben", "--draw-password")
    assert (status, "there is no person ben" in errors) == (1, True)


def test_a_password_is_asked_for_twice(command, monkeypatch):
    command("migrate")
    answers = ["correct horse battery", "correct horse cattery", "correct horse battery", "correct horse battery"]
    monkeypatch.setattr("aggregator.commands.people.getpass", lambda _: answers.pop(0))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    status, _, errors = command(*USER)
    assert (status, "these were two passwords" in errors) == (1, True)
    assert command(*USER)[0] == 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "give --password-file or --draw-password"),
        (("--password-file", "none"), "the password file none cannot be read"),
        (("--password-file", "short"), "a password has 12 to 200 characters"),
        (("--draw-password", "--site", "a/b"), "not a valid name"),
        (("--draw-password", "--site", "centre"), "reserved"),
    ],
)
def test_a_person_who_cannot_be_is_refused_in_words(command, tmp_path, words, reason):
    command("migrate")
    (tmp_path / "short").write_text("short")
    status, _, errors = command(*USER, *words)
    assert (status, reason in errors) == (1, True)
    assert command("user", "list")[1] == ""


def test_a_name_that_cannot_be_is_refused_in_words(command):
    command("migrate")
    status, _, errors = command("user", "add", "Anna B", "--role", "viewer", "--draw-password")
    assert (status, "'Anna B' is not a valid name" in errors) == (1, True)


def test_a_store_is_backed_up_and_restored(command):
    command("migrate")
    command(*ADD)
    assert command("backup", "copy.db") == (0, "the store is backed up in copy.db\n", "")
    command("engine", "add", "E2", "--site", "hamburg", "--gateway", "gw-1", "--position", "right")
    status, output, _ = command("restore", "copy.db")
    assert (status, "its new epoch is" in output) == (0, True)
    assert command("engine", "list")[:2] == (0, "E1\thamburg\tgw-1\tleft\n")


def test_what_is_no_backup_is_refused_in_words(command, tmp_path):
    (tmp_path / "copy.db").write_text("nothing of the kind" * 100)
    status, _, errors = command("restore", "copy.db")
    assert (status, "copy.db is no backup of a store" in errors) == (1, True)


def test_a_new_epoch_is_drawn_for_a_server_that_was_restored(command, postgresql_url):
    command("migrate", "--database-url", postgresql_url)
    epochs = {command("new-epoch", "--database-url", postgresql_url)[1] for _ in range(2)}
    assert len(epochs) == 2
    assert all("start the aggregators again" in said for said in epochs)


def test_the_public_key_stays_the_same_and_is_all_that_is_shown(command, tmp_path):
    status, public, errors = command("command-key")
    assert (status, len(base64.b64decode(public)), errors) == (0, 32, "")
    assert command("command-key", "--command-key-file", "centre/command.key")[1] == public


def test_missing_records_are_listed(command, tmp_path):
    command("migrate")
    command(*ADD)
    assert command("missing")[:2] == (0, "")
    store = open_store(f"sqlite:///{tmp_path / 'centre' / 'store.db'}")
    reply = Reply(command_id="c", outcome="done", stream_id="s", unavailable=[(3, 7)])
    commit(store, [ReplyArrival(GatewayTopic("hamburg", "gw-1", "reply"), reply, datetime.now(UTC))])
    store.close()
    assert command("missing")[1].endswith(f"gw-1\ts\t3\t7\t{UNAVAILABLE}\n")


def test_a_store_goes_down_only_after_a_warning(command):
    command("migrate")
    status, _, errors = command("migrate", "--to", "0009")
    assert (status, "make a backup, and add --yes" in errors) == (1, True)
    assert command("migrate", "--to", "0009", "--yes") == (0, "the store is at version 0009\n", "")
    assert command("migrate") == (0, "the store is up to date\n", "")
    status, _, errors = command("migrate", "--to", "9999")
    assert (status, "cannot be migrated" in errors) == (1, True)


def test_prune_says_what_it_would_do_and_does_it(command, said, tmp_path):
    command("migrate")
    assert command("prune") == (
        1,
        "",
        "everything is kept: say with --retention.telemetry-days or --retention.predictions-days for how long\n",
    )
    store = open_store(f"sqlite:///{tmp_path}/centre/store.db")
    clock = Clock()
    clock.at = datetime.now(UTC) - timedelta(days=9)
    recorder = Recorder(store, clock)
    recorder.register("E1")
    recorder.send(*(recorder.row("E1", cycle) for cycle in range(1, 201)))
    store.close()
    for flags, line in (
        (("--dry-run",), r"telemetry: 50 records received before \d.*Z would be pruned\n"),
        ((), r"telemetry: 50 records received before \d.*Z pruned\n"),
        ((), r"telemetry: 0 records received before \d.*Z pruned\n"),
    ):
        status, output, errors = command("prune", "--retention.telemetry-days", "7", *flags)
        assert (status, errors) == (0, said)
        assert re.search(line, output)


def test_check_reads_the_certificate_of_the_api(command, tmp_path):
    command("certificate", "centre.example.org", "--out", "tls")
    good = ("--api.tls-cert-file", "tls/server.crt", "--api.tls-key-file", "tls/server.key")
    assert command("check", *good)[0] == 0
    for wrong, reason in (("none.key", "No such file"), ("tls/ca.crt", "no certificate and its key")):
        status, _, told = command("check", *good[:3], wrong)
        assert (status, "api.tls_cert_file tls/server.crt, api.tls_key_file: " in told, reason in told) == (
            78,
            True,
            True,
        )


def test_gateways_are_added_listed_and_revoked(command, said):
    command("migrate")
    with_tls = ("--broker.kind", "external", "--broker.tls")
    status, token, told = command("gateway", "add", "gw-1", "--site", "hamburg", *with_tls)
    assert (status, parse_token(token).text) == (0, token.strip())
    assert "gateway gw-1 may enrol once, until" in told
    assert command("gateway", "list") == (0, "gw-1\thamburg\tnot enrolled\n", said)
    assert command("gateway", "revoke", "gw-1") == (0, "gateway gw-1 is let in no longer\n", said)
    assert command("gateway", "revoke", "gw-2")[0] == 1
    status, _, told = command("gateway", "add", "gw-1", "--site", "hamburg")
    assert (status, "set broker.kind = external and broker.tls = true" in told) == (1, True)


def test_a_list_of_users_that_the_broker_may_have_changed_is_not_replaced(command, tmp_path):
    status, told, _ = command("broker-users", "--out", "users.json", "--aggregator", "a", "--aggregator", "b")
    assert (status, told) == (
        0,
        "users.json lets in OU=centre,CN=a and OU=centre,CN=b; make it belong to the broker's user\n",
    )
    first = (tmp_path / "users.json").read_bytes()
    status, _, told = command("broker-users", "--out", "users.json")
    assert (status, "is not replaced" in told, (tmp_path / "users.json").read_bytes()) == (1, True, first)


def test_what_is_dear_to_import_is_imported_where_it_is_needed(command):
    command("migrate")
    program = (
        "import sys\nfrom aggregator import cli\n"
        "def loaded(*names): return set(names) & set(sys.modules)\n"
        "cli.main(['gateway', 'list'])\n"
        "assert not (found := loaded('nicegui', 'fastapi', 'uvicorn', 'amqtt', 'aiomqtt', 'numpy')), found\n"
        "import aggregator.app\nfrom aggregator.access import passwords\n"
        "assert not (found := loaded('psycopg', 'alembic')), found\n"
        "assert passwords._nobodys_hash.cache_info().currsize == 0\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
