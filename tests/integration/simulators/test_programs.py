"""Child processes: started, watched and ended for certain."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from simulators.programs import ProgramError, Programs


def _until(condition, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _runs(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def _start(programs, folder, code):
    """Start a program that runs code and then waits; returns its pid once it does."""
    pid_file = folder / f"{time.monotonic_ns()}.pid"
    imports = "import os, signal, sys, time; from pathlib import Path"
    write_pid = f"path = Path({str(pid_file)!r}); path.with_suffix('.new').write_text(str(os.getpid()))"
    show_pid = "path.with_suffix('.new').rename(path)"
    programs.start("program", "python", "-c", "\n".join([imports, code, write_pid, show_pid, "time.sleep(60)"]))
    _until(pid_file.exists)
    return int(pid_file.read_text())


def test_everything_ends_with_the_block(tmp_path):
    with Programs(tmp_path) as programs:
        pids = [_start(programs, tmp_path, "") for _ in range(2)]
        programs.check()

    assert not any(_runs(pid) for pid in pids)


def test_one_that_ended_by_itself_is_named_with_the_end_of_its_log(tmp_path):
    with Programs(tmp_path) as programs:
        programs.start("gw-7", "python", "-c", "import sys; print('no such broker'); sys.exit(3)")

        def ended():
            try:
                programs.check()
            except ProgramError as error:
                return "gw-7 ended with exit status 3" in str(error) and "  no such broker" in str(error)
            return False

        _until(ended)


def test_one_that_was_killed_is_named_with_the_signal(tmp_path):
    with Programs(tmp_path) as programs:
        os.kill(_start(programs, tmp_path, ""), signal.SIGKILL)

        def killed():
            try:
                programs.check()
            except ProgramError as error:
                return "SIGKILL" in str(error) and "(empty)" in str(error)
            return False

        _until(killed)


def test_one_that_will_not_end_is_killed_and_named(tmp_path):
    with Programs(tmp_path) as programs:
        stubborn = _start(programs, tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN)")

        assert [program.name for program in programs.stop(timeout_s=0.2)] == ["program"]
        assert not _runs(stubborn)


def test_a_clean_end_is_not_named(tmp_path):
    with Programs(tmp_path) as programs:
        _start(programs, tmp_path, "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))")

        assert programs.stop(timeout_s=20) == []


def test_ctrl_c_at_the_terminal_does_not_reach_them(tmp_path):
    with Programs(tmp_path) as programs:
        assert os.getpgid(_start(programs, tmp_path, "")) != os.getpgrp()


def test_settings_of_the_surroundings_do_not_reach_them(tmp_path, monkeypatch):
    monkeypatch.setenv("SPOOLWATCH_AGENT_GATEWAY", "other")
    with Programs(tmp_path) as programs:
        _start(programs, tmp_path, "print([name for name in os.environ if 'SPOOLWATCH' in name], flush=True)")

    assert (tmp_path / "program.log").read_text() == "[]\n"


def test_they_end_even_when_we_are_killed(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from simulators.programs import Programs\n"
        f"programs = Programs(Path({str(tmp_path)!r}))\n"
        "programs.start('child', 'python', '-c', 'import os, time; print(os.getpid(), flush=True); time.sleep(60)')\n"
        "time.sleep(60)"
    )
    log = tmp_path / "child.log"
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        _until(lambda: log.exists() and log.read_text().endswith("\n"))
        child = int(log.read_text())
        parent.kill()

    _until(lambda: not _runs(child) or _is_zombie(child))


def _is_zombie(pid):
    """An orphan waits for init to collect it, which in a container may take its time."""
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "Z"
    return True


def test_a_command_that_is_not_installed_is_named(tmp_path):
    with Programs(tmp_path) as programs, pytest.raises(ProgramError, match="cannot start spoolwatch-none"):
        programs.start("none", "spoolwatch-none")


def test_a_command_is_asked_for_what_it_prints_or_says_why_it_failed(tmp_path):
    programs = Programs(tmp_path)
    assert programs.ask("python", "-c", "print('a word')") == "a word"
    with pytest.raises(ProgramError, match="exit status 3: no word"):
        programs.ask("python", "-c", "import sys; print('no word', file=sys.stderr); sys.exit(3)")
    with pytest.raises(ProgramError, match="cannot run no-such-program"):
        programs.ask("no-such-program", "now")
