import shutil
import sys
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from models.training import baseline, recipe
from models.training.baseline import FULL, JOBS, Job, Predicted
from models.training.folds import CUTS_PER_ENGINE, EARLIEST_CUT_CYCLE
from models.training.windows import WINDOW_ROWS
from shared.cmapss import SUBSETS, cmapss_line
from shared.errors import SpoolwatchError

TRAINING_CYCLES = 25
TEST_CYCLES = (3, 40)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Of each subset as many training engines as there are folds, and two test engines."""
    folder = tmp_path_factory.mktemp("data")
    for subset in SUBSETS:
        for kind, lengths in (("train", [TRAINING_CYCLES] * recipe.FOLDS), ("test", TEST_CYCLES)):
            generator = np.random.default_rng(0)
            lines = [
                cmapss_line(unit, cycle, np.round(np.r_[0, generator.normal(5, 1, 23)], 3))
                for unit, cycles in enumerate(lengths, start=1)
                for cycle in range(1, cycles + 1)
            ]
            (folder / f"{kind}_{subset}.txt").write_text("\n".join(lines) + "\n")
    return folder


class Network:
    """In the place of the DCNN: it predicts half of the cap and keeps what it was trained on."""

    trained: ClassVar[list] = []

    def train(self, windows, label, steps, seed, after_step):
        self.trained.append((len(windows), label, seed))

    def predict(self, windows):
        return np.full(len(windows), 0.5, np.float32)


@pytest.fixture(scope="module", autouse=True)
def network():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "models.training.dcnn", SimpleNamespace(Dcnn=Network))
        patch.setitem(sys.modules, "models.training.student", SimpleNamespace(make_deterministic=lambda: None))
        yield


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """The folder of a finished run, and what its networks were trained on."""
    folder = baseline.train(data, tmp_path_factory.mktemp("trained"))
    return folder, list(Network.trained)


def test_a_network_is_trained_on_every_row_of_every_engine_but_those_of_its_fold(run):
    _, trained = run
    assert len(trained) == len(SUBSETS) * (recipe.FOLDS + len(recipe.SEEDS))
    assert {seed for _, _, seed in trained} == set(recipe.SEEDS)
    for windows, label, _ in trained:
        assert windows == len(label)
        assert (label.min(), label.max()) == (0, pytest.approx((TRAINING_CYCLES - 1) / recipe.CAP_CYCLES))
    engines = [windows // TRAINING_CYCLES for windows, _, _ in trained]
    assert (engines.count(recipe.FOLDS - 1), engines.count(recipe.FOLDS)) == (
        len(SUBSETS) * recipe.FOLDS,
        len(SUBSETS) * len(recipe.SEEDS),
    )


def test_every_test_engine_is_predicted_at_its_last_cycle(run):
    for seed in recipe.SEEDS:
        found = Predicted.load(baseline.result(run[0], Job("FD002", seed, FULL)))
        assert (found.unit.tolist(), found.cycle.tolist()) == ([1, 2], list(TEST_CYCLES))
        assert TEST_CYCLES[0] < WINDOW_ROWS
        assert found.mean.tolist() == [recipe.CAP_CYCLES / 2] * 2


def test_all_folds_together_hold_out_every_engine_at_its_cuts(run):
    jobs = [Job("FD003", recipe.RELEASED_SEED, fold) for fold in range(recipe.FOLDS)]
    parts = [Predicted.load(baseline.result(run[0], job)) for job in jobs]
    units = np.concatenate([part.unit for part in parts])
    assert sorted(units) == sorted(list(range(1, recipe.FOLDS + 1)) * CUTS_PER_ENGINE)
    for part in parts:
        assert (part.truth + part.cycle == TRAINING_CYCLES).all()
        assert part.cycle.min() >= EARLIEST_CUT_CYCLE


def test_what_is_finished_is_not_trained_again(data, run):
    folder, _ = run
    baseline.result(folder, JOBS[3]).unlink()
    Network.trained.clear()
    assert baseline.train(data, folder.parents[1]) == folder
    assert [seed for _, _, seed in Network.trained] == [JOBS[3].seed]


def test_other_rows_are_another_run(data, run, tmp_path):
    other = shutil.copytree(data, tmp_path / "data")
    with (other / "test_FD004.txt").open("a") as file:
        file.write(cmapss_line(len(TEST_CYCLES) + 1, 1, np.r_[0, np.full(23, 5.0)]) + "\n")
    assert baseline.run_folder(other, run[0].parents[1]) != run[0]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SpoolwatchError, match=r"has no train_FD001\.txt or \.txt\.gz: name the folder"):
        baseline.train(tmp_path, tmp_path)
