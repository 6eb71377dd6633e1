"""``spoolwatch-models evaluate | compare`` on what ``predict`` wrote."""

import json

import pytest

from models import cli


@pytest.fixture(scope="module")
def predictions(test_set):
    """Two files of predictions of the same engines: with and without their age."""
    paths = test_set / "FD001.csv", test_set / "FD001_noage.csv"
    for path, flags in zip(paths, ([], ["--no-age"]), strict=True):
        cli.main(
            ["predict", "--subset", "FD001", "--input", str(test_set / "test_FD001.txt"), "--output", str(path), *flags]
        )
    return [str(path) for path in paths]


@pytest.fixture
def truth(test_set):
    return ["--truth", str(test_set / "RUL_FD001.txt")]


def test_evaluate_prints_the_table_and_json(predictions, truth, capsys):
    cli.main(["evaluate", predictions[0], *truth])
    table = capsys.readouterr().out
    cli.main(["evaluate", predictions[0], *truth, "--json"])
    figures = json.loads(capsys.readouterr().out)
    assert figures["engines"] == 5
    assert figures["columns"]["C125"]["rmse"] < 40
    assert f"{figures['columns']['C125']['rmse']:.2f}" in table


def test_compare_holds_two_files_against_each_other(predictions, truth, capsys):
    cli.main(["compare", *predictions, *truth, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["a"], found["b"]) == ([predictions[0]], [predictions[1]])
    cli.main(["compare", predictions[0], predictions[0], "--with", predictions[1], *truth])
    table = capsys.readouterr().out
    assert f"{found['figures']['C125']['rmse']['difference']:.2f}" in table
    with pytest.raises(SystemExit, match="two files of predictions are compared, not 1; seeds of B follow --with"):
        cli.main(["compare", predictions[0], *truth])
