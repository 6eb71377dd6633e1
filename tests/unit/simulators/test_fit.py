import gzip
import sys

import numpy as np
import pytest

from shared.cmapss import cmapss_line
from simulators.engine_model import SimulatedEngine, frozen_constants
from simulators.fit import FILE, fit, main


@pytest.fixture(scope="module")
def simulated_file(tmp_path_factory):
    """A training file of simulated engines, so that what the fit must find is known."""
    path = tmp_path_factory.mktemp("fit") / FILE.removesuffix(".gz")
    with path.open("w") as file:
        for unit in range(1, 61):
            for row in SimulatedEngine(f"F{unit}", 0).rows():
                file.write(cmapss_line(unit, row.cycle, row.values) + "\n")
    return path


def test_the_fit_finds_again_what_the_rows_were_made_from(simulated_file):
    found, truth = fit(simulated_file), frozen_constants()
    assert found.population.responding == truth.population.responding
    np.testing.assert_allclose(found.regime.mean, truth.regime.mean, rtol=2e-3, atol=1e-3)
    answering = [value > 0.01 for value in truth.regime.noise]
    np.testing.assert_allclose(
        np.array(found.regime.noise)[answering], np.array(truth.regime.noise)[answering], rtol=0.05
    )
    found_engines, engines = (np.array(constants.population.engines)[:, :4] for constants in (found, truth))
    np.testing.assert_allclose(found_engines.std(axis=0), engines.std(axis=0), rtol=0.35)
    np.testing.assert_allclose(found_engines.mean(axis=0), engines.mean(axis=0), atol=0.15)


def test_the_command_writes_the_constants(simulated_file, tmp_path, monkeypatch):
    (tmp_path / FILE).write_bytes(gzip.compress(simulated_file.read_bytes()))
    output = tmp_path / "constants.json"
    monkeypatch.setattr(sys, "argv", ["fit", "--data", str(tmp_path), "--output", str(output)])
    main()
    assert f'"fitted_to":"{FILE}"' in output.read_text()
