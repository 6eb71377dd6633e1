import msgspec
import numpy as np
import pytest

from models.evaluation import evaluate
from models.predictions import Prediction, write_predictions
from shared.errors import SpoolwatchError
from shared.messages import RulCycles

TRUTH = [0, 20, 50, 51, 110, 111, 145, 60]


@pytest.fixture
def files(tmp_path):
    """Writes the truth and, per list of errors, a file of predictions."""

    def write(*errors_of_seeds):
        truth = tmp_path / "RUL.txt"
        truth.write_text("".join(f"{rul}\n" for rul in TRUTH))
        paths = []
        for seed, errors in enumerate(errors_of_seeds):
            paths.append(tmp_path / f"seed{seed}.csv")
            means = np.add(TRUTH[: len(errors)], errors)
            ruls = [RulCycles(mean=mean, q05=mean - 5, q50=mean, q95=mean + 5) for mean in means.tolist()]
            write_predictions(paths[-1], [Prediction(unit, 9, rul) for unit, rul in enumerate(ruls, start=1)])
        return paths, truth

    return write


def test_one_file_gives_both_columns_and_the_bands(files):
    found = evaluate(*files([3, -3, 3, -3, 3, -3, -25, 3]))
    assert found.engines == 8
    assert found.columns["C125"]["rmse"] == pytest.approx((7 * 9 / 8 + 25 / 8) ** 0.5, abs=1e-4)
    assert found.columns["RAW"]["rmse"] == pytest.approx((7 * 9 / 8 + 625 / 8) ** 0.5, abs=1e-4)
    assert found.columns["C125"]["coverage"] == 1.0
    assert [found.bands[band]["predictions"] for band in ("rul_0_50", "rul_51_110", "rul_above_110")] == [3, 3, 2]


def test_several_files_are_seeds_with_mean_and_deviation(files):
    found = evaluate(*files([2] * 8, [4] * 8))
    assert (found.columns["RAW"]["bias"], found.columns["RAW"]["bias_sd"]) == (3, pytest.approx(2**0.5, abs=1e-4))
    text = str(found)
    assert text.startswith("mean ± standard deviation of 2 seeds, 8 engines")
    assert "3.00 ± 1.41" in text


def test_the_table_shows_every_figure_of_the_protocol(files):
    text = str(evaluate(*files([3, -3, 3, -3, 3, -3, -25, 3])))
    rows = {line[:26].strip(): line[26:].split() for line in text.splitlines()[3:]}
    assert rows["bias"] == ["-0.25", "-2.75"]
    assert rows["RUL 0-50"] == ["3", "3.00", "1.00", "1.000", "10.0"]
    assert set(rows) >= {
        "RMSE", "RMSE, RUL ≤ 50", "PHM08 score, sum", "PHM08 score per engine", "MAE", "coverage", "mean width, cycles",
        "RUL 51-110", "RUL above 110",
    }  # fmt: skip


def test_json_has_null_for_the_figures_of_an_empty_band(files, tmp_path):
    paths, _ = files([1, 1])
    truth = tmp_path / "short.txt"
    truth.write_text("0\n20\n")
    decoded = msgspec.json.decode(msgspec.json.encode(evaluate(paths, truth)))
    assert decoded["bands"]["rul_51_110"]["rmse"] is None
    assert decoded["columns"]["C125"]["rmse"] == 1.0


def test_predictions_of_other_engines_are_refused(files):
    paths, truth = files([1] * 8, [1] * 7)
    with pytest.raises(SpoolwatchError, match=r"seed1\.csv lacks unit 8"):
        evaluate(paths, truth)
