"""What deploy/systemd ships is accepted by systemd and by the programs themselves."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aggregator.settings import AggregatorSettings
from edge_agent.settings import AgentSettings
from shared.settings import EX_CONFIG, load

SYSTEMD = Path(__file__).parents[3] / "deploy" / "systemd"
UNITS = ["spoolwatch-agent.service", "spoolwatch-aggregator.service"]
MOST_EXPOSURE = 20  # in tenths


@pytest.fixture
def analyze(tmp_path):
    """Runs ``systemd-analyze`` over a unit whose program stands where this Python does."""
    program = shutil.which("systemd-analyze")
    assert program is not None, "systemd-analyze is missing: install the Debian package systemd"

    def run(unit, *arguments):
        text = (SYSTEMD / unit).read_text()
        (tmp_path / unit).write_text(text.replace("/opt/spoolwatch/bin", str(Path(sys.executable).parent)))
        return subprocess.run([program, *arguments, tmp_path / unit], capture_output=True, text=True, check=False)

    return run


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


@pytest.mark.parametrize("unit", UNITS)
def test_wrong_settings_are_not_tried_again(unit):
    options = _options(unit)

    assert options["Restart"] == "on-failure"
    assert options["RestartPreventExitStatus"] == str(EX_CONFIG)


@pytest.mark.parametrize("unit", UNITS)
def test_the_user_is_made_by_sysusers_and_owns_the_state(unit):
    options = _options(unit)
    sysusers = (SYSTEMD / "spoolwatch.sysusers.conf").read_text()

    assert re.search(rf"^u {options['User']} .* /var/lib/{options['StateDirectory']}$", sysusers, re.MULTILINE)


def test_sysusers_accepts_its_file(tmp_path):
    program = shutil.which("systemd-sysusers")
    assert program is not None, "systemd-sysusers is missing: install the Debian package systemd"
    (tmp_path / "etc").mkdir()

    command = [program, "--dry-run", f"--root={tmp_path}", SYSTEMD / "spoolwatch.sysusers.conf"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    for unit in UNITS:
        assert f"Creating user '{_options(unit)['User']}'" in result.stdout + result.stderr


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
    program = unit.removesuffix(".service")
    example = program.removeprefix("spoolwatch-")

    assert _options(unit)["ExecStart"].split()[0] == f"/opt/spoolwatch/bin/{program}"
    assert _options(unit)["ExecStart"].endswith(f"--config /etc/spoolwatch/{example}.toml")
