"""Training in real processes: Ctrl-C, a student that is killed, a second run beside the first, and going on after."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.training import runs
from models.training.processes import FULL, Job
from shared.cmapss import SUBSETS, cmapss_line

DEADLINE_S = 60.0
# Training in name only, for the spawned processes too: each of them runs this file as its main module.
PROGRAM = """
import os, signal, sys, time
from pathlib import Path

import numpy as np

from models import cli
from models.training import recipe, runs
from models.training.held_out import HeldOut
from shared.errors import SpoolwatchError

def train_one(job, data, run, after_epoch):
    (run / f"began_{job.fold}_{os.getpid()}").touch()
    after_epoch()
    if job.fold == 1:
        DEED
    path = runs.result(run, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    if job.fold >= 0:
        HeldOut(np.array(["FD001"]), np.zeros(1), {}, {}).save(path)
    else:
        path.mkdir()

runs.train_one = train_one
if __name__ == "__main__":
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    cli.main(["train", *sys.argv[1:]])
"""
WAIT = "time.sleep(600)"


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for subset in SUBSETS:
        (folder / f"train_{subset}.txt").write_text(cmapss_line(1, 1, [1.0] * 24) + "\n")
    return folder


@pytest.fixture
def start(tmp_path, data):
    """Starts training in which fold 1 does something odd; whatever is left of it is ended."""
    started = []

    def start(deed):
        program = tmp_path / "program.py"
        program.write_text(PROGRAM.replace("DEED", deed))
        command = [sys.executable, str(program), "--data", str(data), "--trained", str(tmp_path / "out")]
        process = subprocess.Popen(
            command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def waited_for(tmp_path, pattern):
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if found := sorted(tmp_path.glob(pattern)):
            return found
        time.sleep(0.05)
    raise AssertionError(f"nothing like {pattern} within {DEADLINE_S:.0f} s")


def is_alive(pid):
    return Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def folds_begun(tmp_path):
    return {int(path.name.split("_")[1]) for path in tmp_path.glob("out/*/began_*")}


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(lambda pid: os.killpg(pid, signal.SIGINT), id="Ctrl-C, which all processes get"),
        pytest.param(lambda pid: os.kill(pid, signal.SIGTERM), id="SIGTERM, which the first one gets"),
        pytest.param(lambda pid: os.killpg(pid, signal.SIGTERM), id="SIGTERM, which all processes get"),
    ],
)
def test_a_stop_ends_every_process_at_once_and_what_is_finished_is_kept(start, tmp_path, stop):
    process = start(WAIT)
    (fold1,) = waited_for(tmp_path, "out/*/began_1_*")
    waited_for(tmp_path, "out/*/seed0/fold3.npz")
    stop(process.pid)
    output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert f"stopped; what is finished lies in {tmp_path / 'out'}: the same command goes on there" in output
    assert "Traceback" not in output
    assert not is_alive(int(fold1.name.split("_")[2]))
    kept = [path.name for path in tmp_path.glob("out/*/seed0/*.npz")]
    for path in tmp_path.glob("out/*/began_*"):
        path.unlink()
    again = start("pass")
    assert again.communicate(timeout=DEADLINE_S)[0].strip().endswith("make release puts it into the registry")
    assert again.returncode == 0
    assert folds_begun(tmp_path).isdisjoint(int(name[4]) for name in kept)
    assert len(list(tmp_path.glob("out/*/seed0/*.npz"))) == 5


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "seed 0 without fold 1 was killed, perhaps because memory ran out"),
        ("raise SpoolwatchError('the disk is full')", "the disk is full"),
        ("os._exit(3)", "seed 0 without fold 1 failed (status 3), as said above; what is finished is kept"),
    ],
)
def test_a_student_that_fails_ends_the_training_with_its_reason(start, tmp_path, deed, reason):
    process = start(deed)
    output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert reason in " ".join(output.split())
    assert not any(is_alive(int(path.name.split("_")[2])) for path in tmp_path.glob("out/*/began_*"))


def test_a_run_is_trained_by_one_process_at_a_time(start, tmp_path):
    first = start(WAIT)
    waited_for(tmp_path, "out/*/began_1_*")
    second = start(WAIT)
    output, _ = second.communicate(timeout=DEADLINE_S)
    assert second.returncode == 1
    assert "is being trained by another process: wait for its end, or stop it" in output
    assert first.poll() is None


def test_students_end_when_the_process_that_started_them_was_killed(start, tmp_path):
    process = start("while True: after_epoch(); time.sleep(0.05)")
    (fold1,) = waited_for(tmp_path, "out/*/began_1_*")
    os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + DEADLINE_S
    while is_alive(int(fold1.name.split("_")[2])):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "Traceback" not in process.communicate(timeout=DEADLINE_S)[0]


def test_the_full_student_is_named_without_a_fold():
    assert str(Job(2, FULL)) == "the student of seed 2"
    assert runs.result(Path("run"), Job(2, FULL)) == Path("run/seed2/uncalibrated")
