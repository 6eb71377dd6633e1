import msgspec
import pytest

from models.evaluation import evaluate
from shared.errors import SpoolwatchError

RULS = [0, 20, 50, 51, 110, 111, 145, 60]
ERRORS = [3, -3, 3, -3, 3, -3, -25, 3]


def test_one_file_gives_both_columns_and_the_bands(truth, predictions):
    found = evaluate([predictions("a.csv", RULS, ERRORS)], truth(*RULS))
    assert found.engines == 8
    assert found.columns["C125"]["rmse"] == pytest.approx((7 * 9 / 8 + 25 / 8) ** 0.5, abs=1e-4)
    assert found.columns["RAW"]["rmse"] == pytest.approx((7 * 9 / 8 + 625 / 8) ** 0.5, abs=1e-4)
    assert found.columns["C125"]["coverage"] == 1.0
    assert [found.bands[band]["predictions"] for band in ("rul_0_50", "rul_51_110", "rul_above_110")] == [3, 3, 2]


def test_several_files_are_seeds_with_mean_and_deviation(truth, predictions):
    files = [predictions(f"seed{error}.csv", RULS, [error] * 8) for error in (2, 4)]
    found = evaluate(files, truth(*RULS))
    assert (found.columns["RAW"]["bias"], found.columns["RAW"]["bias_sd"]) == (3, pytest.approx(2**0.5, abs=1e-4))
    text = str(found)
    assert text.startswith("mean ± standard deviation of 2 seeds, 8 engines")
    assert "3.00 ± 1.41" in text


def test_the_table_shows_every_figure_of_the_protocol(truth, predictions):
    text = str(evaluate([predictions("a.csv", RULS, ERRORS)], truth(*RULS)))
    rows = {line[:26].strip(): line[26:].split() for line in text.splitlines()[3:]}
    assert rows["bias"] == ["-0.25", "-2.75"]
    assert rows["RUL 0-50"] == ["3", "3.00", "1.00", "1.000", "10.0"]
    assert set(rows) >= {
        "RMSE", "RMSE, RUL ≤ 50", "PHM08 score, sum", "PHM08 score per engine", "MAE", "coverage", "mean width, cycles",
        "RUL 51-110", "RUL above 110",
    }  # fmt: skip


def test_json_has_null_for_the_figures_of_an_empty_band(truth, predictions):
    found = evaluate([predictions("a.csv", [0, 20], [1, 1])], truth(0, 20))
    decoded = msgspec.json.decode(msgspec.json.encode(found))
    assert decoded["bands"]["rul_51_110"]["rmse"] is None
    assert decoded["columns"]["C125"]["rmse"] == 1.0


def test_predictions_of_other_engines_are_refused(truth, predictions):
    files = [predictions("a.csv", RULS, ERRORS), predictions("b.csv", RULS[:7], ERRORS[:7])]
    with pytest.raises(SpoolwatchError, match=r"b\.csv lacks unit 8"):
        evaluate(files, truth(*RULS))
