"""The fit finds again what simulated engines were made from: six conditions, two fault modes."""

import gzip
import sys

import msgspec
import numpy as np
import pytest

from shared.cmapss import cmapss_line
from simulators.engine_model import Constants, SimulatedEngine, frozen_constants
from simulators.fit import FITTED, main

ENGINES = 80


@pytest.fixture(scope="module")
def truth():
    return frozen_constants("FD004")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The constants fitted to simulated engines and one more whose wear falls back in mid-life, by the command."""
    folder = tmp_path_factory.mktemp("fit")
    lives = [list(SimulatedEngine(f"F{unit}", 0, subset="FD004").rows()) for unit in range(ENGINES)]
    lines = [
        cmapss_line(unit, cycle, row.values)
        for unit, life in enumerate([*lives, lives[0] * 2], start=1)
        for cycle, row in enumerate(life, start=1)
    ]
    (folder / "train_FD004.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["fit", "--data", str(folder), "--output", str(folder), "--subset", "FD004"])
        main()
    (written,) = folder.glob("*.json")
    assert written.name == "engine_constants_FD004.json"
    return msgspec.json.decode(written.read_bytes(), type=Constants)


def drawn(population):
    return np.array(population.engines)[:, :4]


def mean_answer(population):
    """The mean change of every channel from new to failed, in units of noise."""
    _, start, end, _ = drawn(population).mean(axis=0)
    return (end - start) * np.array(population.slopes.mean)


def test_conditions_are_found_with_their_shares_means_and_noise(found, truth):
    assert len(found.conditions) == 6
    for one, other in zip(found.conditions, truth.conditions, strict=True):
        assert one.share == pytest.approx(other.share, abs=0.02)
        np.testing.assert_allclose(one.mean, other.mean, rtol=2e-3, atol=2e-3)
        sensors = np.array(other.noise) > 0.015
        np.testing.assert_allclose(np.array(one.noise)[sensors], np.array(other.noise)[sensors], rtol=0.06)


def test_fault_modes_are_told_apart_with_their_answers_to_wear(found, truth):
    assert len(found.populations) == 2
    assert sum(population.share for population in found.populations) == pytest.approx(1)
    for one, other in zip(found.populations, truth.populations, strict=True):
        assert one.responding == other.responding
        assert one.share == pytest.approx(other.share, abs=0.12)
        assert one.jitter == pytest.approx(other.jitter, rel=0.25)
        correlation = np.corrcoef(mean_answer(one).ravel(), mean_answer(other).ravel())[0, 1]
        assert correlation > 0.99


def test_life_and_growth_differ_between_engines_as_they_did(found, truth):
    for one, other in zip(found.populations, truth.populations, strict=True):
        np.testing.assert_allclose(drawn(one).mean(axis=0), drawn(other).mean(axis=0), atol=0.2)
        life, _, _, log_power = drawn(one).std(axis=0) / drawn(other).std(axis=0)
        assert 0.65 < life < 1.5
        assert 0.65 < log_power < 1.5


def test_an_engine_whose_wear_falls_back_is_left_out(found):
    assert sum(len(population.engines) for population in found.populations) == ENGINES


def test_the_engines_of_fd001_are_not_fitted_anew():
    assert "FD001" not in FITTED
