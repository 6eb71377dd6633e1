"""What deploy/systemd ships is accepted by systemd and by the programs themselves."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aggregator.settings import AggregatorSettings
from edge_agent.settings import AgentSettings, BrokerSettings
from shared.settings import EX_CONFIG, load

SYSTEMD = Path(__file__).parents[3] / "deploy" / "systemd"
UNITS = ["spoolwatch-agent.service", "spoolwatch-agent@.service", "spoolwatch-aggregator.service"]
DROP_INS = sorted(path.name for path in (SYSTEMD / "drop-ins").glob("*.conf"))
MOST_EXPOSURE = 15  # in tenths


@pytest.fixture
def analyze(tmp_path):
    """Runs ``systemd-analyze`` over a unit whose program stands where this Python does."""
    program = shutil.which("systemd-analyze")
    assert program is not None, "systemd-analyze is missing: install the Debian package systemd"

    def run(unit, *arguments, drop_in=None):
        text = (SYSTEMD / unit).read_text()
        path = tmp_path / unit.replace("@.", "@box.")
        path.write_text(text.replace("ExecStart=", f"ExecStart={Path(sys.executable).parent}/"))
        if drop_in:
            folder = tmp_path / f"{path.name}.d"
            folder.mkdir()
            shutil.copy(SYSTEMD / "drop-ins" / drop_in, folder)
        environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
        command = [program, *arguments, path]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    return run


def _lines(unit):
    return (SYSTEMD / unit).read_text().splitlines()


def _options(unit):
    """The last value of each option; a unit may give some of them several times."""
    return dict(re.findall(r"^(\w+)=(.*)$", (SYSTEMD / unit).read_text(), re.MULTILINE))


@pytest.mark.parametrize("unit", UNITS)
def test_verify_has_nothing_to_say(analyze, unit):
    result = analyze(unit, "verify", "--man=no")

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", UNITS)
def test_the_exposure_stays_low(analyze, unit):
    result = analyze(unit, "security", "--offline=yes", f"--threshold={MOST_EXPOSURE}", "--no-pager")

    assert result.returncode == 0, result.stdout.splitlines()[-1]


@pytest.mark.parametrize("drop_in", DROP_INS)
def test_with_a_drop_in_too(analyze, drop_in):
    checked = analyze("spoolwatch-agent.service", "verify", "--man=no", drop_in=drop_in)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize("drop_in", DROP_INS)
def test_a_drop_in_opens_no_more_than_it_must(analyze, drop_in):
    arguments = ["security", "--offline=yes", f"--threshold={MOST_EXPOSURE}", "--no-pager"]
    bare = analyze("spoolwatch-agent.service", *arguments).stdout
    result = analyze("spoolwatch-agent.service", *arguments, drop_in=drop_in)
    assert result.returncode == 0, result.stdout.splitlines()[-1]
    assert drop_in.startswith("broker-") or result.stdout != bare  # it was looked at


@pytest.mark.parametrize("drop_in", [name for name in DROP_INS if name.startswith("broker-")])
def test_a_drop_in_hands_over_secrets_by_settings_that_there_are(drop_in):
    text = (SYSTEMD / "drop-ins" / drop_in).read_text()
    handed_over = set(re.findall(r"^LoadCredential=(\S+?):/etc/spoolwatch/", text, re.MULTILINE))
    told = dict(re.findall(r"^Environment=SPOOLWATCH_AGENT_BROKER__(\w+)=(.*)$", text, re.MULTILINE))
    assert {value.removeprefix("%d/") for value in told.values() if value.startswith("%d/")} == handed_over
    assert {name.lower() for name in told} <= BrokerSettings.model_fields.keys()


def test_the_template_differs_by_its_instance_only():
    single, template = _lines("spoolwatch-agent.service"), _lines("spoolwatch-agent@.service")
    assert [line.replace(" (%i)", "").replace("-%i", "") for line in template] == single
    assert sum("%i" in line for line in template) == 5


@pytest.mark.parametrize("unit", UNITS)
def test_what_a_unit_may_take_is_limited(unit):
    options = _options(unit)
    assert options.keys() >= {"MemoryMax", "CPUQuota", "TasksMax", "WatchdogSec"}


@pytest.mark.parametrize("unit", UNITS)
def test_wrong_settings_are_not_tried_again(unit):
    options = _options(unit)

    assert options["Restart"] == "on-failure"
    assert options["RestartPreventExitStatus"] == str(EX_CONFIG)


@pytest.mark.parametrize("unit", UNITS)
def test_the_user_is_made_by_sysusers_and_owns_the_state(unit):
    options = _options(unit)
    user, home = options["User"], f"/var/lib/{options['StateDirectory'].removesuffix('-%i')}"

    assert re.search(rf"^u {user} .* {home}$", (SYSTEMD / f"{user}.sysusers.conf").read_text(), re.MULTILINE)
    assert f"d {home} 0700 {user} {user} -" in _lines(f"{user}.tmpfiles.conf")


@pytest.mark.parametrize("user", ["spoolwatch-agent", "spoolwatch-aggregator"])
def test_sysusers_accepts_its_file(tmp_path, user):
    program = shutil.which("systemd-sysusers")
    assert program is not None, "systemd-sysusers is missing: install the Debian package systemd"
    (tmp_path / "etc").mkdir()

    command = [program, "--dry-run", f"--root={tmp_path}", SYSTEMD / f"{user}.sysusers.conf"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    assert f"Creating user '{user}'" in result.stdout + result.stderr


def test_the_agents_example_is_what_its_unit_expects():
    settings = load(AgentSettings, SYSTEMD / "agent.toml")

    assert settings.data_dir == Path("/var/lib") / _options("spoolwatch-agent.service")["StateDirectory"]


def test_the_aggregators_example_is_what_its_unit_expects():
    settings = load(AggregatorSettings, SYSTEMD / "aggregator.toml")

    assert settings.data_dir == Path("/var/lib") / _options("spoolwatch-aggregator.service")["StateDirectory"]


def test_every_example_is_loaded_by_a_test():
    assert {path.name for path in SYSTEMD.glob("*.toml")} == {"agent.toml", "aggregator.toml"}


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_starts_the_program_with_its_example(unit):
    program = unit.removesuffix(".service").removesuffix("@")
    example = program.removeprefix("spoolwatch-") + ("-%i" if "@" in unit else "")

    assert _options(unit)["ExecStart"].split()[0] == program
    assert _options(unit)["ExecStart"].endswith(f"--config /etc/spoolwatch/{example}.toml")
