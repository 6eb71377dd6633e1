"""docs/models.md keeps up with the code: its commands run as they stand, in turn, on a simulated test set."""

import gzip
import re
import shlex
import shutil
from pathlib import Path

import pytest

from models import cli

PAGE = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE) for line in block.splitlines()
]


def test_the_commands_run_as_they_stand(test_set, tmp_path, monkeypatch, capsys):
    (tmp_path / "test_FD001.txt.gz").write_bytes(gzip.compress((test_set / "test_FD001.txt").read_bytes()))
    shutil.copy(test_set / "RUL_FD001.txt", tmp_path)
    monkeypatch.chdir(tmp_path)
    for line in COMMANDS:
        program, *arguments = shlex.split(line)
        assert program == "spoolwatch-models"
        cli.main(arguments)
        assert capsys.readouterr().out
        if arguments[0] == "predict":
            for seed in (0, 1):
                shutil.copy("FD001.csv", f"seed{seed}.csv")


def test_every_command_has_its_row_and_a_row_names_a_command(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    commands = re.findall(r"^    ([a-z]+)  ", capsys.readouterr().out, re.MULTILINE)
    rows = re.findall(r"^\| (`[a-z`, ]+) \|", PAGE.partition("##")[0], re.MULTILINE)
    assert re.findall(r"[a-z]+", " ".join(rows)) == commands
