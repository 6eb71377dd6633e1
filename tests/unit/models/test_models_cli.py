"""The command line of the models refuses wrong usage, and hands training over to its own environment."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from models import cli


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "required: COMMAND"),
        (["predict", "--subset", "FD005", "--input", "a", "--output", "b"], "invalid choice: 'FD005'"),
        (["predict", "--subset", "FD001", "--input", "a"], "required: --output"),
        (["evaluate", "a.csv"], "required: --truth"),
    ],
)
def test_wrong_usage_ends_with_2_and_the_reason(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_missing_package_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SystemExit, match=r"the Python package pandas is missing: install spoolwatch\[models\]"):
        cli.main(["predict", "--subset", "FD001", "--input", __file__, "--output", "unused.csv"])


@pytest.mark.parametrize(("command", "module"), [(["train", "--data", "d"], "runs"), (["release"], "release")])
def test_without_tensorflow_training_says_where_it_is(command, module, monkeypatch):
    monkeypatch.setitem(sys.modules, f"models.training.{module}", None)
    with pytest.raises(
        SystemExit, match=r"is missing: training has an environment of its own; .*make train DATA=FOLDER"
    ):
        cli.main(command)


def test_train_and_release_are_told_their_folders(monkeypatch):
    called = []
    for module, function in (("runs", "train"), ("release", "release")):
        stand_in = ModuleType(f"models.training.{module}")
        setattr(stand_in, function, lambda *arguments, **flags: called.append((*arguments, flags)))
        monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
    cli.main(["train", "--data", "d", "--all"])
    cli.main(["release", "--trained", "t", "--registry", "r"])
    assert called == [(Path("d"), Path(".train"), {"everything": True}), (Path("t"), Path("r"), {})]
