import numpy as np
import pytest

from models.training import recipe, runs
from shared.cmapss import SUBSETS, cmapss_line
from shared.errors import SpoolwatchError


@pytest.fixture
def data(tmp_path):
    """A folder with a training file of one short engine for each subset."""
    folder = tmp_path / "data"
    folder.mkdir()
    for subset in SUBSETS:
        lines = [cmapss_line(1, cycle, np.full(24, 1.0)) for cycle in (1, 2, 3)]
        (folder / f"train_{subset}.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def trained(monkeypatch):
    """The jobs that would be trained, in place of training; each leaves its result."""
    done = []

    def train_all(jobs, data, run):
        for job in jobs:
            path = runs.result(run, job)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        done.append(jobs)

    monkeypatch.setattr(runs, "_train_all", train_all)
    monkeypatch.setattr(runs, "_finish", lambda run, seed: None)
    return done


def test_only_the_released_seed_is_trained_unless_all_are_wanted(data, tmp_path, trained):
    runs.train(data, tmp_path / "out", everything=False)
    runs.train(data, tmp_path / "out", everything=True)
    first, rest = trained
    assert [job.seed for job in first] == [recipe.RELEASED_SEED] * (recipe.FOLDS + 1)
    assert {job.seed for job in rest} == set(recipe.SEEDS) - {recipe.RELEASED_SEED}


def test_what_is_finished_is_not_trained_again(data, tmp_path, trained):
    run = runs.train(data, tmp_path / "out", everything=False)
    runs.result(run, runs.Job(recipe.RELEASED_SEED, 3)).unlink()
    assert runs.train(data, tmp_path / "out", everything=False) == run
    assert trained[1] == [runs.Job(recipe.RELEASED_SEED, 3)]


def test_other_data_is_another_run(data, tmp_path, trained):
    run = runs.train(data, tmp_path / "out", everything=False)
    with (data / "train_FD003.txt").open("a") as file:
        file.write(cmapss_line(1, 4, np.full(24, 1.0)) + "\n")
    assert runs.train(data, tmp_path / "out", everything=False) != run
    assert len(trained[1]) == recipe.FOLDS + 1


def test_a_missing_file_is_named(data, tmp_path):
    (data / "train_FD002.txt").unlink()
    with pytest.raises(SpoolwatchError, match=r"data has no train_FD002\.txt or \.txt\.gz: name the folder"):
        runs.train(data, tmp_path / "out", everything=False)


def test_without_a_finished_run_there_is_nothing_to_release(tmp_path):
    with pytest.raises(SpoolwatchError, match="holds no finished run of this code: train first"):
        runs.newest(tmp_path)
