"""Whole plays with real programs: they end by themselves or when asked to, and the count tells the truth."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.cmapss import cmapss_line
from simulators.engine_model import SimulatedEngine
from simulators.programs import Programs

SIMULATE = str(Path(sys.executable).with_name("spoolwatch-simulate"))
DEADLINE_S = 60.0


def _simulate(*arguments):
    command = [SIMULATE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_S)


def _until(condition, timeout_s=DEADLINE_S):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _programs_of(folder):
    """The pids of the agents and the aggregator that a play on this folder runs."""
    pids = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if any(str(folder) in word for word in words) and not any(word.endswith("simulate") for word in words):
            pids[next(word for word in words if str(folder) in word)] = int(process.name)
    return pids


@pytest.fixture
def playing(tmp_path):
    """Starts a fleet and waits until its agents run; kills what a failing test leaves behind."""
    folder = tmp_path / "play"
    command = [SIMULATE, "fleet", "--engines", "2", "--cycles-per-s", "5", "--data-dir", str(folder)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    logs = [folder / "logs" / f"gw-E-0{n}.log" for n in (1, 2)]
    _until(lambda: all(log.exists() and "agent_started" in log.read_text() for log in logs))
    yield process, folder
    process.kill()
    process.communicate()
    for pid in _programs_of(folder).values():
        os.kill(pid, signal.SIGKILL)


def _interrupt(process):
    """As Ctrl-C at a terminal does: the whole foreground group gets it."""
    os.killpg(process.pid, signal.SIGINT)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("played") / "play"
    return folder, _simulate("fleet", "--engines", 3, "--seed", 5, "--seconds", 2, "--data-dir", folder)


@pytest.fixture
def tampered(played, tmp_path):
    return Path(shutil.copytree(played[0], tmp_path / "tampered"))


def _change_store(folder, statement):
    with sqlite3.connect(folder / "aggregator" / "store.db") as store:
        assert store.execute(statement).rowcount == 1
    store.close()


def _last_line(output):
    return output.splitlines()[-1]


def test_a_fleet_ends_by_itself_with_everything_counted(played):
    folder, result = played

    assert result.returncode == 0, result.stderr
    rows = len((folder / "truth.jsonl").read_text().splitlines())
    assert _last_line(result.stdout) == (
        f"engines 3, predictions {rows}, committed {rows}, dropped 0, lost 0, duplicates 0"
    )
    assert rows > 3 * 2
    assert "log in as admin with the password " in result.stdout
    assert _programs_of(folder) == {}


def test_anyone_can_count_again(played):
    folder, result = played

    again = _simulate("count", "--data-dir", folder)

    assert (again.returncode, again.stdout.splitlines()) == (0, [_last_line(result.stdout)])


def test_a_prediction_taken_from_the_store_is_counted_as_lost(tampered):
    _change_store(tampered, "DELETE FROM prediction WHERE id = (SELECT max(id) FROM prediction)")

    result = _simulate("count", "--data-dir", tampered)

    assert result.returncode == 1
    assert result.stdout.endswith("dropped 0, lost 1, duplicates 0\n")


def test_a_row_that_the_model_refused_is_counted_apart(tampered):
    row = "(SELECT engine_id, cycle FROM prediction ORDER BY id DESC LIMIT 1)"
    _change_store(tampered, "UPDATE telemetry SET refusal = 'too hot' WHERE (engine_id, cycle) = " + row)
    _change_store(tampered, "DELETE FROM prediction WHERE id = (SELECT max(id) FROM prediction)")

    result = _simulate("count", "--data-dir", tampered)

    refused, last = result.stdout.splitlines()
    assert result.returncode == 0
    assert last.endswith("dropped 0, lost 0, duplicates 0")
    assert refused == "1 rows gave no prediction, by refusal of the model: too hot (1)"


def test_a_row_put_into_the_store_is_counted_as_a_duplicate(tampered):
    copy = "SELECT engine_id, installation_id, cycle + 1000, observed_at, received_at, clock_unsynced, channels, flags"
    _change_store(
        tampered,
        "INSERT INTO telemetry (engine_id, installation_id, cycle, observed_at, received_at, clock_unsynced, channels,"
        f" flags, stream, seq) {copy}, stream, seq FROM telemetry LIMIT 1",
    )

    result = _simulate("count", "--data-dir", tampered)

    assert result.returncode == 1
    assert result.stdout.endswith("dropped 0, lost 0, duplicates 1\n")


def test_a_row_that_was_emitted_but_never_stored_is_counted_as_lost(tampered):
    with (tampered / "truth.jsonl").open("a") as truth:
        truth.write('{"engine":"E-01","cycle":9999,"rul_cycles":0,"emitted_at":"2026-01-01T00:00:00Z"}\n')

    result = _simulate("count", "--data-dir", tampered)

    assert result.returncode == 1
    assert result.stdout.endswith("dropped 0, lost 2, duplicates 0\n")


def test_ctrl_c_lets_everything_arrive_and_leaves_no_program_behind(playing):
    process, folder = playing

    _interrupt(process)
    output, errors = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 0, errors
    assert _last_line(output).endswith("dropped 0, lost 0, duplicates 0")
    assert _programs_of(folder) == {}


def test_a_second_ctrl_c_gives_up_what_cannot_arrive(playing):
    process, folder = playing
    agent = next(pid for word, pid in _programs_of(folder).items() if "gw-E-01" in word)
    os.kill(agent, signal.SIGSTOP)
    emitted = (folder / "truth.jsonl").stat().st_size
    _until(lambda: (folder / "truth.jsonl").stat().st_size > emitted)

    _interrupt(process)
    _until(lambda: "on their way" in process.stdout.readline())
    _interrupt(process)
    output, errors = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 1
    assert "gw-E-01 did not end cleanly" in output
    assert "lost 0" not in _last_line(output)
    assert _programs_of(folder) == {}


def test_an_agent_that_dies_ends_the_play_with_its_name(playing):
    process, folder = playing
    agent = next(pid for word, pid in _programs_of(folder).items() if "gw-E-02" in word)

    os.kill(agent, signal.SIGKILL)
    _, errors = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 1
    assert "gw-E-02 ended with signal SIGKILL" in errors
    assert "agent_started" in errors
    assert _programs_of(folder) == {}


def test_stopping_before_the_centre_is_ready_emits_nothing(tmp_path, free_port):
    nobody = f"127.0.0.1:{free_port()}"
    command = [SIMULATE, "fleet", "--data-dir", str(tmp_path / "play"), "--api", f"http://{nobody}", "--broker", nobody]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        _until((tmp_path / "play" / "rows").exists)
        _interrupt(process)
        _, errors = process.communicate(timeout=DEADLINE_S)

    assert (process.returncode, errors) == (1, "stopped before anything was emitted\n")


@pytest.fixture
def running_centre(tmp_path, mosquitto, free_port):
    """The options that lead a play to an aggregator of its own on a real mosquitto."""
    api = free_port()
    with Programs(tmp_path) as programs:
        programs.start(
            "aggregator",
            "spoolwatch-aggregator",
            "serve",
            *("--data-dir", str(tmp_path / "centre"), "--api.port", str(api)),
            *("--broker.kind", "external", "--broker.port", str(mosquitto.port)),
        )
        yield ["--api", f"http://127.0.0.1:{api}", "--broker", f"127.0.0.1:{mosquitto.port}"]


def _recording(path, lives):
    rows = (
        (unit, row) for unit, life in lives.items() for row in SimulatedEngine(str(unit), 1).rows() if row.cycle <= life
    )
    path.write_text("".join(cmapss_line(unit, row.cycle, row.values) + "\n" for unit, row in rows))
    return path


def test_a_recording_is_replayed_into_a_running_centre_and_counted_there(tmp_path, running_centre):
    recording = _recording(tmp_path / "train_X.txt", {1: 12, 2: 30, 3: 20})
    fast = ["--units", "1,3", "--cycles-per-s", "100", "--data-dir", tmp_path / "play"]

    result = _simulate("replay", recording, *fast, *running_centre)

    assert result.returncode == 0, result.stderr
    assert _last_line(result.stdout) == "engines 2, predictions 32, committed 32, dropped 0, lost 0, duplicates 0"
    again = _simulate("count", "--data-dir", tmp_path / "play", *running_centre[:2])
    assert again.stdout == _last_line(result.stdout) + "\n"


def test_engines_that_a_running_centre_knows_are_not_played_again(tmp_path, running_centre):
    recording = _recording(tmp_path / "train_X.txt", {1: 2})
    options = ["--cycles-per-s", "100", "--data-dir", tmp_path / "play", *running_centre]
    assert _simulate("replay", recording, *options).returncode == 0

    result = _simulate("replay", recording, *options)

    assert result.returncode == 1
    assert "train_X-001 was registered" in result.stderr


def test_counting_without_a_store_says_so(tampered):
    (tampered / "aggregator" / "store.db").unlink()

    result = _simulate("count", "--data-dir", tampered)

    assert result.returncode == 1
    assert "cannot count in the store" in result.stderr
