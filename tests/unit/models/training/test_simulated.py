import numpy as np
import pytest

from models.reading import Life
from models.training import recipe, simulated
from models.training.simulated import beside, simulate
from models.training.trial import _row_weights
from simulators.engine_model import SimulatedEngine

ENGINES = 24


@pytest.fixture(scope="module")
def subsets():
    """Stands in for training engines: simulated ones of one type."""
    lives = [np.array([row.values for row in SimulatedEngine(f"S{unit}", 0).rows()]) for unit in range(ENGINES)]
    return {"FD001": [Life(unit, values) for unit, values in enumerate(lives)]}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("run") / "simulators" / "fold0.json"


@pytest.fixture(scope="module")
def made(subsets, kept):
    return beside(subsets, 0, kept)


def same(one, other):
    return all(np.array_equal(a.values, b.values) for a, b in zip(one["FD001"], other["FD001"], strict=True))


def test_no_two_engines_are_the_same_and_each_seed_has_its_own(subsets, kept, made):
    lives = [life.values.tobytes() for life in (*made["FD001"], *beside(subsets, 1, kept)["FD001"])]
    assert len(lives) == 2 * recipe.SIMULATED_PER_REAL * ENGINES
    assert len(set(lives)) == len(lives)


def test_the_constants_are_fitted_to_these_engines_alone_and_once(subsets, kept, made, monkeypatch):
    fitted = []
    monkeypatch.setattr(simulated, "fit", lambda lives, name: fitted.append((len(lives), name)))
    assert same(beside(subsets, 0, kept), made)
    assert fitted == []
    simulated.fit_simulator({"FD001": subsets["FD001"][1:]})
    assert fitted == [(ENGINES - 1, f"{ENGINES - 1} of FD001")]


def test_torn_constants_are_fitted_again_to_the_same(subsets, kept, made):
    content = kept.read_bytes()
    kept.write_bytes(content[: len(content) // 2])
    assert same(beside(subsets, 0, kept), made)
    assert kept.read_bytes() == content
    assert list(kept.parent.iterdir()) == [kept]


def test_simulated_engines_are_of_the_fitted_constants(subsets, kept, made):
    again = simulate({"FD001": simulated.fit_simulator(subsets)["FD001"]}, subsets, "training 0", 0)
    assert same({"FD001": made["FD001"][:ENGINES]}, again)


def test_every_real_engine_weighs_the_same_and_a_simulated_one_a_share_of_it():
    weights = np.split(_row_weights([100, 300, 200], real=2), [100, 400])
    totals = [part.sum() for part in weights]
    assert totals[0] == pytest.approx(totals[1])
    assert totals[2] == pytest.approx(recipe.SIMULATED_WEIGHT * totals[0])
    assert np.concatenate(weights).mean() == pytest.approx(1)
