"""The agent's command line, in process for speed; real processes are in tests/e2e."""

import errno
import json
import os
import subprocess
import sys

import pytest
from structlog.testing import capture_logs

from edge_agent import app, cli
from edge_agent.outbox import Outbox
from edge_agent.settings import AgentSettings
from shared import log, runtimes
from shared.errors import BundleError, SettingsError
from shared.settings import load

GOOD = """
site = "hamburg"
gateway = "gw-1"
data_dir = "{folder}/state"
engines = [{{serial = "E-1", unit = 1}}]
[source]
kind = "file"
path = "{folder}/rows.txt"
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "rows.txt").write_text("")
    path = tmp_path / "agent.toml"
    path.write_text(GOOD.format(folder=tmp_path))
    return path


def refused(capsys, *arguments):
    """Run a command that must end with 78; returns what it printed."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 78
    return capsys.readouterr().err


def test_good_settings_pass_the_check(config, capsys):
    cli.main(["check", "--config", str(config)])
    printed = capsys.readouterr().out
    assert "turbofan" in printed
    assert "rows.txt" in printed


def test_without_a_file_named_the_settings_are_where_the_package_put_them(config, capsys, monkeypatch):
    monkeypatch.setattr(cli, "CONFIG", config)
    cli.main(["check"])
    assert "rows.txt" in capsys.readouterr().out


def test_on_a_box_that_is_not_enrolled_it_is_said_what_enrolment_would_bring(tmp_path, capsys):
    printed = refused(capsys, "doctor", "--data-dir", str(tmp_path))
    assert "source: Field required" in printed
    assert "is not enrolled: spoolwatch-agent enroll" in printed


def test_who_may_not_read_the_agents_folder_is_told_who_may(tmp_path, capsys, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr(cli, "load", refuse)
    with pytest.raises(SystemExit, match="1"):
        cli.main(["status"])
    assert f"{tmp_path}: Permission denied; run this as root" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("gateway =", "gatewey ="), ["gatewey: is not a setting", "gateway: Field required"]),
        (('"gw-1"', '"gw 1"'), ["gateway", "'gw 1' is not a valid name"]),
        (('"hamburg"', '"centre"'), ["site", "reserved"]),
        (('kind = "file"', 'kind = "telepathy"'), ["source", "telepathy"]),
        (("unit = 1", "unit = 0"), ["engines.0.unit", "SPOOLWATCH_AGENT_ENGINES)"]),
        (("[source]", '[broker]\nmqtt_version = "four"\n[source]'), ["broker.mqtt_version: Input should be 3 or 5"]),
        (("[source]", '[broker]\nhost = ""\n[source]'), ["broker.host"]),
        (("[source]", '[broker]\npassword_file = "/"\n[source]'), ["broker.password_file: / cannot be read"]),
        (("/rows.txt", ""), ["source.path", "is no file"]),
        (('kind = "file"', 'kind = "mqtt"\ntopic = ""'), ["source.topic", "SPOOLWATCH_AGENT_SOURCE__TOPIC)"]),
        (("[source]", "[source]\nfollow = 3"), ["source.follow", "SPOOLWATCH_AGENT_SOURCE__FOLLOW)"]),
        (("[source]", 'model = "warp-drive"\n[source]'), ["model", "warp-drive", "turbofan"]),
        (("rows.txt", "gone.txt"), ["source.path", "gone.txt"]),
        (("[source]", "[broker]\nport = 99999\n[source]"), ["broker.port"]),
        (("[source]", '[broker]\npassword_file = "/nowhere"\n[source]'), ["broker.password_file", "/nowhere"]),
        (("[source]", "[source"), ["agent.toml is not TOML"]),
        (("[source]", '[cycle]\nby = "flag"\n[source]'), ["cycle: by flag needs the channel of the flag"]),
        (("[source]", '[cycle]\nby = "gap"\nchannel = "n"\n[source]'), ["cycle: channel is of no use with by = gap"]),
        (("[source]", '[cycle]\nby = "gap"\nwraps_at = 9\n[source]'), ["cycle: wraps_at is of no use"]),
        (("[source]", "[limits.warp]\nspike = 1.0\n[source]"), ["limits.warp: the model has no such channel"]),
    ],
)
def test_each_wrong_setting_is_named_and_the_exit_status_is_78(config, capsys, change, named):
    config.write_text(config.read_text().replace(*change))
    printed = refused(capsys, "check", "--config", str(config))
    for part in named:
        assert part in printed
    assert "Value error" not in printed
    assert "SPOOLWATCH_AGENT_)" not in printed


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            'kind = "tcp"\nhost = "plc"\nport = 4001',
            "source     lines of JSON from plc:4001, samples\ncycles     by flag flies",
        ),
        (
            'kind = "mqtt"\ntopic = "r"\ngives = "samples"',
            "source     mqtt r at 127.0.0.1:1883, samples\ncycles     by flag",
        ),
        ('kind = "mqtt"\ntopic = "r"', "source     mqtt r at 127.0.0.1:1883, rows\nlimits     for T24"),
    ],
)
def test_the_check_tells_how_samples_become_rows(config, capsys, source, told):
    head = config.read_text().partition("[source]")[0]
    extra = '[cycle]\nby = "flag"\nchannel = "flies"\n[limits.T24]\nspike = 3.0\n'
    config.write_text(f"{head}[source]\n{source}\n{extra}")
    cli.main(["check", "--config", str(config)])
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(("variable", "text"), [("BROKER", "xx"), ("ENGINES", "[{"), ("DELIVERY", "{]")])
def test_a_variable_that_is_no_json_is_named(config, capsys, monkeypatch, variable, text):
    monkeypatch.setenv(f"SPOOLWATCH_AGENT_{variable}", text)
    printed = refused(capsys, "check", "--config", str(config))
    assert f"{variable.lower()}: not JSON" in printed
    assert f"(environment: SPOOLWATCH_AGENT_{variable})" in printed


@pytest.mark.parametrize("flag", [("--engines", "[{"), ("--broker", "x")])
def test_a_flag_that_is_no_json_is_named(config, capsys, flag):
    assert f"{flag[0].removeprefix('--')}: not JSON" in refused(capsys, "check", "--config", str(config), *flag)


def test_a_settings_file_that_is_not_utf8_is_named(config, capsys):
    config.write_bytes(config.read_bytes() + b"# caf\xe9\n")
    assert "agent.toml is not TOML" in refused(capsys, "check", "--config", str(config))


def test_a_password_file_that_is_not_utf8_is_named(config, capsys, tmp_path):
    password = tmp_path / "password"
    password.write_bytes(b"\xff\xfe")
    printed = refused(capsys, "check", "--config", str(config), "--broker.password-file", str(password))
    assert f"broker.password_file: {password} cannot be read" in printed


def test_a_runtime_that_is_not_installed_fails_the_check(config, capsys, monkeypatch):
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None)
    assert "runtime: the TFLite runtime is not installed" in refused(capsys, "check", "--config", str(config))


def test_a_misspelt_variable_hides_no_other_mistake(config, capsys, monkeypatch):
    config.write_text(config.read_text().replace("unit = 1", "unit = 0"))
    monkeypatch.setenv("SPOOLWATCH_AGENT_GATEWEY", "gw-2")
    printed = refused(capsys, "check", "--config", str(config))
    assert "SPOOLWATCH_AGENT_GATEWEY is not a setting" in printed
    assert "engines.0.unit" in printed


@pytest.mark.parametrize(("error", "status"), [(SettingsError("the key is wrong"), 78), (BundleError("no model"), 1)])
def test_an_error_in_one_of_the_loops_is_told_in_its_own_words(config, capsys, monkeypatch, error, status):
    def run(settings, reload, **_):
        raise ExceptionGroup("loops", [ExceptionGroup("more", [KeyError("defect")]), error])

    monkeypatch.setattr(app, "run", run)
    monkeypatch.setattr(log, "configure", lambda *_: None)
    with pytest.raises(SystemExit) as ended, capture_logs() as logs:
        cli.main(["run", "--config", str(config)])
    assert ended.value.code == status
    assert capsys.readouterr().err == f"{error}\n"
    assert [entry["exc_info"].args for entry in logs] == [("defect",)]


def test_looking_at_a_box_writes_nothing(config, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "state"
    folder.mkdir()
    Outbox(folder / "outbox.db").close()
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)  # as where the folder is read-only
    before = sorted(folder.iterdir())
    cli.main(["status", "--config", str(config)])
    assert "not running" in capsys.readouterr().out
    assert sorted(folder.iterdir()) == before


def test_all_wrong_settings_are_named_at_once(config, capsys):
    config.write_text(config.read_text().replace("rows.txt", "gone.txt").replace("[source]", 'model = "x"\n[source]'))
    printed = refused(capsys, "check", "--config", str(config))
    assert "model:" in printed
    assert "source.path:" in printed


def test_a_misspelt_variable_is_named(config, capsys, monkeypatch):
    monkeypatch.setenv("SPOOLWATCH_AGENT_GATEWEY", "gw-2")
    assert "SPOOLWATCH_AGENT_GATEWEY is not a setting" in refused(capsys, "check", "--config", str(config))


def test_a_file_that_is_not_there_is_named(capsys, tmp_path):
    assert "gone.toml" in refused(capsys, "check", "--config", str(tmp_path / "gone.toml"))


def test_an_engine_given_twice_is_named(config, capsys):
    config.write_text(config.read_text().replace("engines = [", 'engines = [{serial = "E-1", unit = 2}, '))
    assert "serial E-1 is given twice" in refused(capsys, "check", "--config", str(config))


def test_a_gzip_file_cannot_be_followed(config, capsys):
    text = config.read_text().replace("rows.txt", "rows.txt.gz")
    config.write_text(text.replace("[source]", "[source]\nfollow = true"))
    assert "cannot be followed" in refused(capsys, "check", "--config", str(config))


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_file(config, monkeypatch):
    assert load(AgentSettings, config).gateway == "gw-1"
    monkeypatch.setenv("SPOOLWATCH_AGENT_GATEWAY", "gw-2")
    monkeypatch.setenv("SPOOLWATCH_AGENT_BROKER__PORT", "1884")
    monkeypatch.setenv("SPOOLWATCH_AGENT_BROKER__MQTT_VERSION", "3")
    settings = load(AgentSettings, config)
    assert (settings.gateway, settings.broker.port, settings.broker.mqtt_version) == ("gw-2", 1884, 3)


def test_flags_win(config, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SPOOLWATCH_AGENT_DATA_DIR", str(tmp_path / "environment"))
    cli.main(["check", "--config", str(config), "--data-dir", str(tmp_path / "flag")])
    assert str(tmp_path / "flag") in capsys.readouterr().out


def test_settings_cannot_be_changed_afterwards(config):
    with pytest.raises(ValueError, match="frozen"):
        load(AgentSettings, config).gateway = "gw-2"


def test_status_before_the_first_run_says_what_to_do(config, capsys):
    assert "spoolwatch-agent run" in refused(capsys, "status", "--config", str(config))


def test_status_tells_people_and_scripts_how_full_the_outbox_is(config, capsys, tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "lock").touch()
    outbox = Outbox(folder / "outbox.db")
    outbox.accept([b"{}"] * 3)
    cli.main(["status", "--config", str(config)])
    printed = capsys.readouterr().out
    assert "3 records wait for the centre" in printed
    assert "the last known rate (the agent is not running)" in printed
    cli.main(["status", "--config", str(config), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["running"], told["outbox"]["unacked"], told["last"]) == (False, 3, None)
    assert told["rate_is_last_known"]
    assert told["outbox"]["hours_left"] > 0
    outbox.close()


def test_status_says_that_the_status_file_cannot_be_read(config, capsys, tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "lock").touch()
    Outbox(folder / "outbox.db").close()
    (folder / "status.json").write_text('{"written_at": 3}')
    cli.main(["status", "--config", str(config)])
    printed = capsys.readouterr().out
    assert "0 records wait for the centre" in printed
    assert "status.json cannot be read" in printed


def test_settings_errors_are_told_apart(config):
    config.write_text("")
    with pytest.raises(SettingsError, match="site: Field required"):
        load(AgentSettings, config)


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert "spoolwatch-agent run --config /etc/spoolwatch/agent.toml" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["check", "status"])
def test_looking_at_a_box_loads_neither_the_runtime_nor_the_mqtt_library(config, tmp_path, command):
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "lock").touch()
    Outbox(folder / "outbox.db").close()
    program = (
        "import sys\nfrom edge_agent import cli\n"
        f"cli.main([{command!r}, '--config', {str(config)!r}])\n"
        "heavy = {'tflite_runtime', 'ai_edge_litert', 'numpy', 'paho'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
