"""The command line refuses what cannot be played and says why."""

import pytest

from simulators import cli


@pytest.fixture
def refused(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        return ended.value.code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["fleet", "--engines", "0"], "--engines: '0' is not a whole number from 1"),
        (["fleet", "--engines", "many"], "--engines: 'many' is not a whole number from 1"),
        (["fleet", "--seconds", "abc"], "--seconds: 'abc' is not a number of seconds above 0"),
        (["fleet", "--seconds", "-1"], "'-1' is not a number of seconds above 0"),
        (["fleet", "--cycles-per-s", "nan"], "'nan' is not a number of cycles per second above 0"),
        (["fleet", "--site", "centre"], "reserved"),
        (["fleet", "--prefix", "a/b"], "not a valid name"),
        (["fleet", "--subset", "FD005"], "invalid choice: 'FD005'"),
        (["fleet", "--broker", "localhost"], "is not HOST:PORT"),
        (["replay", "x.txt", "--units", "one"], "--units: 'one' is not a list of units such as 1,5,20-24"),
        (["replay", "x.txt", "--units", "5-2"], "'5-2' names no unit"),
        (["fleet", "--seed", "-3"], "'-3' is not a whole number from 0"),
        ([], "required: COMMAND"),
    ],
)
def test_wrong_usage_ends_with_2_and_the_reason(refused, arguments, complaint):
    status, message = refused(*arguments)

    assert status == 2
    assert complaint in message


def test_a_broker_without_an_api_is_refused(refused):
    assert refused("fleet", "--broker", "127.0.0.1:1883") == (
        1,
        "--api and --broker belong together: give both for a running centre, or neither\n",
    )


def test_a_key_file_that_is_not_there_is_named(refused, tmp_path):
    file = tmp_path / "key"
    status, message = refused("count", "--api", "http://127.0.0.1:9", "--api-key-file", str(file))
    assert (status, message) == (1, f"--api-key-file {file}: No such file or directory\n")


def test_a_file_that_is_not_there_is_named(refused, tmp_path):
    status, message = refused("replay", str(tmp_path / "rows.txt"), "--data-dir", str(tmp_path / "play"))

    assert status == 1
    assert str(tmp_path / "rows.txt") in message


def test_counting_where_nothing_was_played_says_so(refused, tmp_path):
    status, message = refused("count", "--data-dir", str(tmp_path))

    assert status == 1
    assert "cannot read the simulator's truth" in message
