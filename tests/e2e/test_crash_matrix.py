"""The crash matrix in small: every kind of fault once, and broken variants that it must not let pass."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.crash_matrix.faults import FAULTS

ROOT = Path(__file__).parents[2]
ON_SQLITE = [name for name, kind in FAULTS.items() if not kind.postgresql_only]
ON_POSTGRESQL = ["database-restart", "database-locked", "kill-all"]

pytestmark = pytest.mark.timeout(300)


def play(*arguments, **environment):
    """Run the matrix; gives its rounds, its sum and its exit status."""
    command = [sys.executable, "-m", "tests.crash_matrix", "--json", *map(str, arguments)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | environment)
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert lines, ended.stderr
    return lines[:-1], lines[-1] | {"rc": ended.returncode, "stderr": ended.stderr}


@pytest.fixture(scope="module")
def on_sqlite():
    return play("--rounds", len(ON_SQLITE), "--seed", 1)


@pytest.fixture(scope="module")
def on_postgresql():
    faults = [part for name in ON_POSTGRESQL for part in ("--fault", name)]
    return play("--rounds", len(ON_POSTGRESQL), "--seed", 1, "--store", "postgresql", *faults)


def assert_every_row_is_there_once(rounds, fault):
    struck = [one for one in rounds if fault in one["faults"]]
    assert struck, f"{fault} did not strike: {rounds}"
    for one in struck:
        assert (one["verdict"]["lost"], one["verdict"]["duplicates"], one["verdict"]["wrong"]) == (0, 0, [])
        assert one["rows"] > 0


@pytest.mark.parametrize("fault", ON_SQLITE)
def test_p1_p2_every_row_is_in_sqlite_exactly_once_after(on_sqlite, fault):
    assert_every_row_is_there_once(on_sqlite[0], fault)


@pytest.mark.parametrize("fault", ON_POSTGRESQL)
def test_p1_p2_every_row_is_in_postgresql_exactly_once_after(on_postgresql, fault):
    assert_every_row_is_there_once(on_postgresql[0], fault)


def test_p4_nothing_is_dropped_while_no_disk_is_full(on_sqlite):
    rounds, total = on_sqlite
    assert total["rc"] == 0, total["stderr"]
    dropped = Counter()
    for one in rounds:
        dropped["disk-full" in one["faults"]] += one["dropped"]
    assert dropped[False] == 0
    assert dropped[True] == total["dropped"] > 0


@pytest.mark.parametrize(
    ("sabotage", "fault"),
    [
        ("free-on-puback", "broker-queue"),
        ("ack-before-commit", "aggregator-kill"),
        ("synchronous-off", "power-cut"),
        ("seq-from-row-ids", "repeated-delivery"),
        ("no-digest-check", "cloned-outbox"),
    ],
)
def test_the_matrix_notices(sabotage, fault, tmp_path):
    """Each broken promise shows within a few rounds of the fault that it was made against."""
    command = ("--sabotage", sabotage, "--fault", fault, "--rounds", 5, "--seed", 3, "--drain-s", 10)
    rounds, total = play(*command, TMPDIR=str(tmp_path))  # where what is kept of a failure goes
    assert total["rc"] == 1
    assert total["lost"] or total["duplicates"] or total["wrong"], rounds


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_p1_p2_many_rounds(store):
    _, total = play("--rounds", 60, "--seed", 2, "--store", store)
    assert total["rc"] == 0, total["stderr"]
