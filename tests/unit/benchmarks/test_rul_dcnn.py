import numpy as np
import pytest

from benchmarks.rul import dcnn
from models.predictions import read_predictions
from models.training import baseline, judgement, recipe, runs
from models.training.baseline import FULL, JOBS, Predicted
from models.training.folds import CUTS_PER_ENGINE
from models.training.held_out import HeldOut
from shared.cmapss import SUBSETS
from shared.errors import SpoolwatchError
from shared.messages import RulCycles

ENGINES_PER_FOLD = 4
CUTS = ENGINES_PER_FOLD * CUTS_PER_ENGINE


def held_out(fold, error_cycles):
    generator = np.random.default_rng(fold)
    truth = generator.integers(0, 200, CUTS).astype(float)
    mean = np.minimum(truth, 125) + generator.normal(0, error_cycles, CUTS)
    unit = np.repeat(np.arange(1, ENGINES_PER_FOLD + 1), CUTS_PER_ENGINE)
    return Predicted(unit, unit, mean, truth)


@pytest.fixture
def run(tmp_path):
    """A finished run: an error of 20 cycles out of fold, and two test engines."""
    for job in JOBS:
        test = Predicted(np.array([1, 2]), np.array([31, 9]), np.array([140.0, job.seed]), np.full(2, np.nan))
        (test if job.fold == FULL else held_out(job.fold, 20)).save(baseline.result(tmp_path, job))
    return tmp_path


@pytest.fixture
def student(monkeypatch):
    """The student's predictions of the same cuts, with an error of 10 cycles."""
    parts = [held_out(fold, 10) for fold in range(recipe.FOLDS)]
    subset = np.repeat(SUBSETS, CUTS)
    wholes = [HeldOut(subset, np.tile(part.truth, len(SUBSETS)), {}, {}) for part in parts]
    pooled = HeldOut(np.tile(subset, len(parts)), np.concatenate([whole.truth for whole in wholes]), {}, {})
    means = np.concatenate([np.tile(part.mean, len(SUBSETS)) for part in parts])
    rul = [RulCycles(mean=mean, q05=mean, q50=mean, q95=mean) for mean in means.tolist()]
    monkeypatch.setattr(runs, "newest", lambda trained: trained)
    monkeypatch.setattr(runs, "held_out_parts", lambda run, seed: [])
    monkeypatch.setattr(judgement, "calibrated", lambda parts, variant: (pooled, rul))
    return pooled


def test_every_test_engine_has_its_point_and_the_quantiles_of_errors_out_of_fold(run, tmp_path):
    dcnn.write_test_sets(run, tmp_path)
    found = read_predictions(tmp_path / "FD004_dcnn_seed3.csv")
    assert [(one.unit, one.cycle, one.rul_cycles.mean) for one in found] == [(1, 31, 140), (2, 9, 3)]
    errors = np.concatenate([np.minimum(part.truth, 125) - part.mean for part in (held_out(k, 20) for k in range(5))])
    rul = found[0].rul_cycles
    assert [rul.q05, rul.q50, rul.q95] == pytest.approx(140 + np.quantile(errors, [0.05, 0.5, 0.95]), abs=1e-3)
    assert len(list(tmp_path.glob("*.csv"))) == len(SUBSETS) * len(recipe.SEEDS)


def test_the_better_model_is_better_on_every_subset(run, tmp_path, student):
    rows = [row.split(" | ") for row in dcnn.compare(run, tmp_path)]
    assert [row[0] for row in rows[:2]] == ["| FD001, age known", "| FD002, age known"]
    for row in rows:
        assert float(row[1]) == pytest.approx(8.6, abs=1.5)
        assert float(row[2]) == pytest.approx(17.5, abs=2)
        assert float(row[3].split(" … ")[1]) < 0


def test_models_that_held_out_other_engines_are_not_compared(run, tmp_path, student):
    student.truth[0] += 1
    with pytest.raises(SpoolwatchError, match="hold out other engines of FD001"):
        list(dcnn.compare(run, tmp_path))


def test_a_test_set_is_one_cut_of_each_engine_in_the_capped_column():
    truth = np.repeat([10.0, 200.0], CUTS_PER_ENGINE)
    mean = truth + np.tile(np.arange(CUTS_PER_ENGINE), 2)
    found = dcnn.by_test_set(mean, truth)
    assert found.shape == (CUTS_PER_ENGINE, 2)
    assert found[7].tolist() == [7, 0]
