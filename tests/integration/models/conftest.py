import pytest

from shared.cmapss import cmapss_line
from simulators.engine_model import SimulatedEngine


@pytest.fixture(scope="session")
def test_set(tmp_path_factory):
    """A folder with simulated engines as a test set: rows cut before failure, and the true RUL."""
    folder = tmp_path_factory.mktemp("test_set")
    rows, truth = [], []
    for unit, share in enumerate((0.5, 0.9, 0.05, 0.97, 0.75), start=1):
        engine = SimulatedEngine(f"T{unit}", 0)
        last = max(1, int(engine.life_cycles * share))
        rows += [cmapss_line(unit, row.cycle, row.values) for row in engine.rows() if row.cycle <= last]
        truth.append(engine.life_cycles - last)
    (folder / "test_FD001.txt").write_text("\n".join(rows) + "\n")
    (folder / "RUL_FD001.txt").write_text("".join(f"{rul} \n" for rul in truth))
    return folder
