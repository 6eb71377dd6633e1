import ast
import shutil
from pathlib import Path

import numpy as np
import pytest

from models.training import recipe, runs, version
from models.training.processes import FULL, Job
from shared.bundle import MODEL_FILE, find_bundle
from shared.cmapss import SUBSETS, cmapss_line
from shared.errors import SpoolwatchError
from shared.manifest import FILE_NAME

REPOSITORY = Path(__file__).parents[4]
# What training imports beside the code that decides its results: it wraps, names and reports them.
DECIDES_NOTHING = {
    "models/training/version.py",
    *(f"shared/{name}.py" for name in ("bundle", "errors", "interval", "messages", "ranges", "runtimes")),
}


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
def trained(monkeypatch, make_fold):
    """The jobs that would be trained, in place of training; each leaves its result."""
    done = []

    def train_all(jobs, train_one, data, run):
        for job in jobs:
            path = runs.result(run, job)
            path.parent.mkdir(parents=True, exist_ok=True)
            if job.fold == FULL:
                shutil.copytree(find_bundle("turbofan"), path, dirs_exist_ok=True)
            else:
                make_fold(job.fold, engines=8).save(path)
        done.append(jobs)

    monkeypatch.setattr(runs, "train_all", train_all)
    return done


def test_only_the_released_seed_is_trained_unless_all_are_wanted(data, tmp_path, trained):
    runs.train(data, tmp_path / "out", everything=False)
    runs.train(data, tmp_path / "out", everything=True)
    first, rest = trained
    assert [job.seed for job in first] == [recipe.RELEASED_SEED] * (recipe.FOLDS + 1)
    assert {job.seed for job in rest} == set(recipe.SEEDS) - {recipe.RELEASED_SEED}


def test_what_is_finished_is_not_trained_again(data, tmp_path, trained):
    run = runs.train(data, tmp_path / "out", everything=False)
    runs.result(run, Job(recipe.RELEASED_SEED, 3)).unlink()
    assert runs.train(data, tmp_path / "out", everything=False) == run
    assert trained[1] == [Job(recipe.RELEASED_SEED, 3)]


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


@pytest.mark.parametrize("torn", ["fold2.npz", f"uncalibrated/{MODEL_FILE}", f"uncalibrated/{FILE_NAME}"])
@pytest.mark.parametrize("left", [0, 0.5])
def test_a_torn_result_is_none_and_is_trained_again(data, tmp_path, trained, torn, left):
    run = runs.train(data, tmp_path / "out", everything=False)
    path = run / f"seed{recipe.RELEASED_SEED}" / torn
    content = path.read_bytes()
    path.write_bytes(content[: int(left * len(content))])
    assert runs.finished_seeds(run) == []
    with pytest.raises(SpoolwatchError, match="holds no finished run"):
        runs.newest(tmp_path / "out")
    runs.train(data, tmp_path / "out", everything=False)
    assert trained[1] == [Job(recipe.RELEASED_SEED, 2 if torn == "fold2.npz" else FULL)]
    assert runs.finished_seeds(run) == [recipe.RELEASED_SEED]


def test_a_finished_seed_is_calibrated_on_its_folds_and_named_as_the_next_version(data, tmp_path, trained):
    run = runs.train(data, tmp_path / "out", everything=False)
    manifest = runs.calibrated_bundle(run, recipe.RELEASED_SEED).manifest
    assert (manifest.name, manifest.version) == (version.NAME, version.VERSION)
    # The folds are 10 cycles late.
    assert manifest.calibration.mean[2] == pytest.approx(-10, abs=2)
    assert np.mean(manifest.ageless_calibration.below) > np.mean(manifest.calibration.below)
    assert manifest.widening.flags["late_start"].below > 0


def test_without_a_finished_run_there_is_nothing_to_release(tmp_path):
    with pytest.raises(SpoolwatchError, match="holds no finished run of this code: train first"):
        runs.newest(tmp_path)


def imported(path):
    """The project's own modules that a module imports, as paths."""
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    paths = {f"{name.replace('.', '/')}.py" for name in names}
    return {
        path
        for path in paths
        if path.startswith(("models/", "shared/", "simulators/")) and (REPOSITORY / path).exists()
    }


def test_all_that_decides_a_result_names_the_run():
    known = {"models/training/trial.py"}
    new = set(known)
    while new := {path for each in new for path in imported(each)} - known:
        known |= new
    assert known - DECIDES_NOTHING == set(runs.SOURCES)


def test_a_run_has_another_name_once_the_code_does_something_else_and_not_for_a_comment(data, tmp_path, monkeypatch):
    files = runs.training_files(data)
    for name in runs.SOURCES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    before = runs._digest(files)
    monkeypatch.setattr(runs, "_REPOSITORY", tmp_path)
    changed = tmp_path / "models/training/recipe.py"
    text = changed.read_text(encoding="utf-8")
    changed.write_text(
        "# a comment\n" + text.replace(text.splitlines()[0], '"""Another docstring."""'), encoding="utf-8"
    )
    assert runs._digest(files) == before
    changed.write_text(text.replace("CAP_CYCLES = 125.0", "CAP_CYCLES = 130.0"), encoding="utf-8")
    assert runs._digest(files) != before
