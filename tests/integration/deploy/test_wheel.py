"""What packages and bundles are made of: the wheel holds every file of the programs, models and migrations too."""

import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    with ZipFile(path) as file:
        yield file


def test_the_wheel_holds_every_file_of_the_programs_and_nothing_that_was_not_written(wheel):
    command = ["git", "ls-files", "-z", *PACKAGES]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    kept = {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert kept - held == set()
    assert {PurePosixPath(name).suffix for name in held} <= {PurePosixPath(name).suffix for name in kept}
    assert {PurePosixPath(name).parts[0] for name in held} == set(PACKAGES)


def test_the_wheel_starts_each_program_by_a_module_that_it_holds(wheel):
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    parser = ConfigParser()
    parser.read_string(wheel.read(entry_points).decode())
    programs = dict(parser["console_scripts"])
    assert programs == PROJECT["project"]["scripts"]
    for program in programs.values():
        assert f"{program.partition(':')[0].replace('.', '/')}.py" in wheel.namelist()
