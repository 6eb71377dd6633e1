"""The Debian packages on a clean Debian: installed, run as their units run them, upgraded, rolled back, purged.

Needs root, for chroot, and the Debian mirror that this machine installs from.
"""

import os
import re
import shutil
import socket
import subprocess
import tarfile
from itertools import islice
from pathlib import Path

import pytest

from shared.cmapss import cmapss_line
from simulators.engine_model import SimulatedEngine
from tests.e2e.conftest import Program

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

FOLDER = Path(__file__).parents[2]
PACKAGE_MAX_BYTES = 60e6
INSTALLED_MAX_BYTES = 200e6
STATE = "var/lib/spoolwatch-agent"


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Both packages as ``make deb`` builds them, and the next version of the agent's with the same content."""
    folder = tmp_path_factory.mktemp("packages")
    run("make", "deb", cwd=FOLDER)
    (built,) = (FOLDER / "dist").glob("spoolwatch-agent_*.deb")
    (centre,) = (FOLDER / "dist").glob("spoolwatch-aggregator_*.deb")
    run("dpkg-deb", "-R", built, folder / "next")
    control = folder / "next" / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^Version: (.*)$", r"Version: \g<1>+next", control.read_text()))
    run("dpkg-deb", "--root-owner-group", "-Znone", "-b", folder / "next", folder / "next.deb")
    present, centre = (Path(shutil.copy(each, folder)) for each in (built, centre))
    return {"present": present, "next": folder / "next.deb", "centre": centre}


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    """The root of a clean Debian 12 with Python and systemd."""
    assert os.geteuid() == 0, "this test changes its root: run it as root"
    assert shutil.which("debootstrap"), "debootstrap is missing: install the Debian package of that name"
    root = tmp_path_factory.mktemp("box")
    root.chmod(0o755)
    targets = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
    included = "--include=python3,python3-venv,systemd,ca-certificates"
    run("debootstrap", "--variant=minbase", included, "bookworm", root, targets.split()[0])
    run("mount", "-t", "proc", "proc", root / "proc")
    (root / "dev/shm").mkdir(exist_ok=True)
    (root / "dev/shm").chmod(0o1777)
    yield root
    run("umount", root / "proc")


@pytest.fixture
def in_box(box):
    return lambda *command: run("chroot", box, *command)


@pytest.fixture
def install(box, in_box):
    def install(package):
        shutil.copy(package, box / "package.deb")
        in_box("dpkg", "--install", "/package.deb")

    return install


class UnitProgram(Program):
    """Runs a unit's ExecStart in the box as the unit's user, and listens to what it tells systemd."""

    def __init__(self, box, name, log):
        unit = (box / f"lib/systemd/system/{name}.service").read_text()
        options = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
        self._told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        place = box / "run/notify"
        place.unlink(missing_ok=True)
        self._told.bind(str(place))
        place.chmod(0o777)
        user = options["User"]
        super().__init__([shutil.which("chroot"), f"--userspec={user}:{user}", box, *options["ExecStart"].split()], log)

    def start(self):
        with self.log.open("ab") as log:
            # Who does not read the watchdog's messages, does not let it send many.
            environment = {"PATH": "/usr/bin", "NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "3600000000"}
            self.process = subprocess.Popen(self._arguments, stdout=log, stderr=log, env=environment)
        self._told.settimeout(60)
        assert self._told.recv(100) == b"READY=1"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        with self._told:
            assert self.stop() == 0


@pytest.fixture
def agent(box, tmp_path):
    return lambda: UnitProgram(box, "spoolwatch-agent", tmp_path / "agent.log")


@pytest.fixture
def engine(box):
    """An engine that writes so many more rows into a file of the box."""
    rows = SimulatedEngine("E-1", seed=7).rows()

    def fly(cycles):
        with (box / "srv/rows.txt").open("a") as file:
            file.writelines(cmapss_line(1, cycle, values) + "\n" for cycle, values, _ in islice(rows, cycles))

    return fly


def test_from_nothing_to_predictions_and_back(packages, box, in_box, install, agent, engine, centre, wait_until):
    def arrived(cycles):
        wait_until(lambda: len(centre.history("E-1", "predictions")) == cycles, f"{cycles} predictions")

    assert packages["present"].stat().st_size <= PACKAGE_MAX_BYTES
    install(packages["present"])
    size = sum(path.lstat().st_size for path in (box / "usr/lib/spoolwatch-agent").rglob("*"))
    assert size <= INSTALLED_MAX_BYTES
    assert (box / STATE).stat().st_mode & 0o777 == 0o700

    centre.register("E-1", "gw-1")
    (box / "srv/token").write_text(centre.api.post("/gateways/gw-1/enrolment-tokens").json()["token"])
    in_box("spoolwatch-agent", "enroll", centre.url, "--token-file", "/srv/token")
    key = box / STATE / "enrolment/identity.pem"
    assert (key.stat().st_mode & 0o777, key.stat().st_uid) == (0o600, (box / STATE).stat().st_uid)
    config = box / "etc/spoolwatch/agent.toml"
    with config.open("a") as file:
        file.write('source = { kind = "file", path = "/srv/rows.txt", follow = true }\n')
    engine(10)
    in_box("spoolwatch-agent", "check", "--config", "/etc/spoolwatch/agent.toml")
    with agent():
        arrived(10)

    settings = config.read_text()
    install(packages["next"])
    assert "+next" in in_box("dpkg-query", "--show", "spoolwatch-agent")
    assert config.read_text() == settings
    engine(10)
    with agent():
        arrived(20)

    install(packages["present"])
    engine(10)
    with agent():
        arrived(30)
    assert [row["cycle"] for row in centre.history("E-1", "telemetry")] == list(range(1, 31))

    in_box("dpkg", "--remove", "spoolwatch-agent")
    assert (box / STATE / "outbox.db").exists()
    assert config.exists()
    in_box("dpkg", "--purge", "spoolwatch-agent")
    assert [path for folder in ("etc", "usr", "var/lib", "lib") for path in (box / folder).rglob("*spoolwatch*")] == []


def test_the_centres_package_keeps_its_state_until_it_is_purged(packages, box, in_box, install, tmp_path):
    install(packages["centre"])
    config = box / "etc/spoolwatch/aggregator.toml"
    config.write_text(
        'data_dir = "/var/lib/spoolwatch-aggregator"\nbroker = { port = 41883 }\napi = { port = 48000 }\n'
    )
    in_box("spoolwatch-aggregator", "check", "--config", "/etc/spoolwatch/aggregator.toml")
    for _ in range(2):  # the second time after an upgrade
        with UnitProgram(box, "spoolwatch-aggregator", tmp_path / "aggregator.log"):
            pass
        install(packages["centre"])
    assert "broker = { port = 41883 }" in config.read_text()
    assert (box / "var/lib/spoolwatch-aggregator/store.db").exists()
    in_box("dpkg", "--purge", "spoolwatch-aggregator")
    assert [path for folder in ("etc", "usr", "var/lib", "lib") for path in (box / folder).rglob("*aggregator*")] == []


def test_the_bundle_installs_without_a_network(box, in_box):
    run("make", "bundle", "ARCH=x86_64", cwd=FOLDER)
    (built,) = (FOLDER / "dist").glob("spoolwatch-agent-*-x86_64.tar.gz")
    with tarfile.open(built) as bundle:
        bundle.extractall(box / "srv", filter="data")
        folder = bundle.getnames()[0]
    for _ in range(2):  # the second time it is an update
        run("unshare", "--net", "chroot", box, "sh", f"/srv/{folder}/install.sh")
        assert "usage: spoolwatch-agent" in in_box("spoolwatch-agent", "--help")
