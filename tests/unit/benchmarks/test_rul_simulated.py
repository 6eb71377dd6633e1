import json
import sys

import msgspec
import numpy as np
import pytest

from benchmarks.rul import simulated
from benchmarks.rul.simulated import Judged
from models import predictions
from models.reading import Life
from models.training import recipe
from models.training.folds import CUTS_PER_ENGINE, cut_rows
from models.training.held_out import AGE_UNKNOWN, SHIPPED
from shared.bundle import Bundle, find_bundle, read_bundle
from shared.cmapss import CHANNELS, SUBSETS
from shared.manifest import Calibration
from shared.predictor import Predictor
from shared.scoring import phm08_score
from simulators.engine_model import frozen_constants

ENGINES = 4
UNCALIBRATED = Calibration(nodes=[0.0], mean=[0.0], median=[0.0], below=[1.0], above=[1.0])
FROZEN = {subset: frozen_constants(subset) for subset in SUBSETS}
NO_ENGINE = np.zeros((1, len(CHANNELS)))


@pytest.fixture(scope="module")
def released():
    return read_bundle(find_bundle("turbofan"))


@pytest.fixture(scope="module")
def uncalibrated(released):
    """Predicts a tenth too much."""
    scale = 1.1 * released.manifest.head_scale_cycles
    manifest = msgspec.structs.replace(released.manifest, calibration=UNCALIBRATED, head_scale_cycles=scale)
    return Bundle(released.path, manifest, released.model)


@pytest.fixture(scope="module")
def real():
    """Stands in for the C-MAPSS training engines: a few of each subset."""
    few = {subset: [Life(unit, NO_ENGINE) for unit in range(1, ENGINES + 1)] for subset in SUBSETS}
    return simulated.simulate(FROZEN, few, "real", 0)


def test_as_many_engines_of_each_type_are_simulated_and_no_two_draws_or_types_share_any(real):
    drawn = [
        simulated.simulate(FROZEN, real, draw, seed) for draw, seed in (("training", 0), ("test", 0), ("training", 1))
    ]
    assert [[len(lives) for lives in subsets.values()] for subsets in drawn] == [[ENGINES] * len(SUBSETS)] * 3
    ages = [tuple(len(life.values) for life in lives) for subsets in (real, *drawn) for lives in subsets.values()]
    assert len(set(ages)) == len(ages)
    again = simulated.simulate(FROZEN, real, "training", 0)
    np.testing.assert_array_equal(again["FD004"][3].values, drawn[0]["FD004"][3].values)


@pytest.mark.parametrize("age_known", [True, False])
def test_a_cut_is_predicted_as_the_agent_would_predict_it(released, real, age_known):
    life = real["FD004"][2]
    judged = simulated.judge(released, {"FD004": [life]}, age_known=age_known)
    cut = cut_rows(life, "FD004", 0)[0]
    (agent,) = predictions.predict(
        [Life(life.unit, life.values[: cut + 1])],
        Predictor(released, simulated.RUNTIME),
        age_known=age_known,
        after_engine=lambda: None,
    )
    assert judged.truth[0] == life.rul_cycles[cut]
    # One step of the int8 output is some half a cycle.
    assert judged.predictions[0].mean == pytest.approx(agent.rul_cycles.mean, abs=1.0)


def test_calibration_takes_the_bias_out_and_covers_nine_tenths_of_the_engines_it_was_made_on(uncalibrated, real):
    before, after = (
        simulated.errors(simulated.judge(bundle, real))["pooled"]
        for bundle in (uncalibrated, simulated.calibrated(uncalibrated, real))
    )
    assert before["bias"] > 2
    assert after["bias"] == pytest.approx(0, abs=1.0)
    assert after["coverage"] == pytest.approx(0.9, abs=0.05)


def test_no_constant_has_a_smaller_error_than_the_constant():
    truth = np.random.default_rng(0).uniform(0, 200, CUTS_PER_ENGINE)
    found = simulated.constant(Judged(np.repeat("FD001", len(truth)), truth, [None] * len(truth)))["FD001"]
    label = np.minimum(truth, 125)
    assert found["rmse"] == pytest.approx(min(np.sqrt(np.mean((label - k) ** 2)) for k in range(126)), abs=0.01)
    assert found["score_mean"] == pytest.approx(np.mean(phm08_score(found["rul_cycles"] - label)), abs=0.01)


def test_the_released_card_tells_the_figures_of_its_manifest_and_larger_ones_with_the_age_unknown(released):
    card = (released.path / "card.md").read_text()
    known, unknown = (simulated.of_card(card, variant) for variant in (SHIPPED, SHIPPED + AGE_UNKNOWN))
    for name in (*SUBSETS, "pooled"):
        for figure, value in known[name].items():
            assert value == pytest.approx(released.manifest.figures[f"{name} C125"][figure], abs=0.001)
        assert unknown[name]["rmse"] > known[name]["rmse"]


def test_held_out_every_engine_is_judged_once_with_a_simulator_that_was_fitted_to_others(monkeypatch, real):
    fitted = []

    def fit_simulator(subsets):
        fitted.extend({life.values.tobytes() for life in lives} for lives in subsets.values())
        return FROZEN

    monkeypatch.setattr(simulated, "fit_simulator", fit_simulator)
    trials = simulated.held_out(real)
    assert [list(trial.simulator) for trial in trials] == [list(SUBSETS)] * 2
    judged = [{life.values.tobytes() for life in lives} for trial in trials for lives in trial.judged_on.values()]
    everything = [{life.values.tobytes() for life in lives} for lives in real.values()] * 2
    assert [seen | asked for seen, asked in zip(fitted, judged, strict=True)] == everything
    assert not any(seen & asked for seen, asked in zip(fitted, judged, strict=True))


@pytest.fixture
def training(monkeypatch, uncalibrated, real):
    """The released model in place of a student, and what the students would have been trained on."""
    given = []

    def train(subsets, seed, after_epoch):
        given.append(subsets)
        return uncalibrated

    monkeypatch.setattr(simulated, "train", train)
    monkeypatch.setattr(simulated, "read_real", lambda data: real)
    return given


def test_students_see_simulated_engines_only_and_every_figure_is_told(training, monkeypatch, capsys, real):
    monkeypatch.setattr(sys, "argv", ["simulated", "--data", "anywhere", "--seeds", "2", "--json"])
    simulated.main()
    assert len(training) == 2
    seen = {life.values.tobytes() for subsets in training for lives in subsets.values() for life in lives}
    assert len(seen) == 2 * len(SUBSETS) * ENGINES * (1 + recipe.SIMULATED_PER_REAL)
    assert not seen & {life.values.tobytes() for lives in real.values() for life in lives}
    told = json.loads(capsys.readouterr().out)
    assert told["simulated to C-MAPSS, age known"]["pooled"]["rmse_sd"] > 0
    starts = [line[:19].strip() for line in simulated.table(told).splitlines()]
    assert {"FD003", "FD003, age unknown", "FD003 rul_51_110"} <= set(starts)
