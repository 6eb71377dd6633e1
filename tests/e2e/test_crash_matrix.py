"""The crash matrix in small: every kind of fault once, and one broken variant that it must not let pass.

The runs go on beside each other: they wait most of the time, for pauses, starts and acknowledgements.
"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.crash_matrix.faults import FAULTS

ROOT = Path(__file__).parents[2]
ON_SQLITE = [name for name, kind in FAULTS.items() if not kind.postgresql_only]
ON_POSTGRESQL = ["database-restart", "database-locked", "kill-all", "centre-restored", "cloned-outbox"]
# The fault that shows each broken promise, and what must be reported then.
BROKEN = {
    "free-on-puback": ("broker-queue", "^lost [1-9]"),
    "ack-before-commit": ("aggregator-kill", "^lost [1-9]"),
    "synchronous-off": ("power-cut", "^lost [1-9]|quarantined as repeats .* explain 0$|accepted twice, .* explain 0$"),
    "seq-from-row-ids": ("repeated-delivery", "streams refused, 0 clones were made$"),
    "no-digest-check": ("cloned-outbox", "^lost [1-9]"),
}
AT_ONCE = 2
SABOTAGES = [pytest.param(name, marks=[] if name == "ack-before-commit" else pytest.mark.long) for name in BROKEN]

pytestmark = pytest.mark.timeout(600)


def play(*arguments, **environment):
    """Run the matrix; gives its rounds, its sum and its exit status."""
    command = [sys.executable, "-m", "tests.crash_matrix", "--json", *map(str, arguments)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | environment)
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert lines, ended.stderr
    return lines[:-1], lines[-1] | {"rc": ended.returncode, "stderr": ended.stderr}


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory):
    """Every run of this module that is asked for as a future, by name; all of the same seed."""
    asked = {item.callspec.params.get("sabotage") for item in request.session.items if hasattr(item, "callspec")}
    on_postgresql = [part for name in ON_POSTGRESQL for part in ("--fault", name)]
    kept = str(tmp_path_factory.mktemp("kept"))  # where what is kept of a failure goes
    executor = ThreadPoolExecutor(AT_ONCE)
    play_soon = partial(executor.submit, play, "--seed", 1)
    runs = {
        "sqlite": play_soon("--rounds", len(ON_SQLITE)),
        "postgresql": play_soon("--rounds", len(ON_POSTGRESQL), "--store", "postgresql", *on_postgresql),
    }
    for sabotage in sorted(asked & BROKEN.keys()):
        fault, _ = BROKEN[sabotage]
        command = ("--sabotage", sabotage, "--fault", fault, "--rounds", 5, "--drain-s", 12)
        runs[sabotage] = play_soon(*command, TMPDIR=kept)
    yield runs
    executor.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def on_sqlite(runs):
    return runs["sqlite"].result()


@pytest.fixture(scope="module")
def on_postgresql(runs):
    return runs["postgresql"].result()


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
    assert len(rounds) == len(ON_SQLITE)
    dropped = Counter()
    for one in rounds:
        dropped["disk-full" in one["faults"]] += one["dropped"]
    assert dropped[False] == 0
    assert dropped[True] == total["dropped"]


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_the_matrix_notices(runs, on_sqlite, sabotage):
    """A broken promise shows within a few rounds of its fault, by what it breaks; unbroken, the same fault is good."""
    fault, finding = BROKEN[sabotage]
    rounds, total = runs[sabotage].result()
    found = [f"lost {total['lost']}", *total["wrong"]]
    assert total["rc"] == 1, rounds
    evidence = [one for one in found if re.search(finding, one)]
    assert evidence, found
    waiting = sum(int(number) for one in found for number in re.findall("([0-9]+) records still wait", one))
    assert total["lost"] > waiting or evidence[0] != found[0], found  # or it might only have been slow
    assert sum(one["restarts"] for one in rounds) == 0
    assert_every_row_is_there_once(on_sqlite[0], fault)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_p1_p2_many_rounds(store):
    _, total = play("--rounds", 60, "--seed", 2, "--store", store)
    assert total["rc"] == 0, total["stderr"]
