import numpy as np
import pytest

from models.figures import both_columns, by_band, by_median, by_truth, mean_and_sd
from shared.messages import RulCycles


def prediction(mean):
    return RulCycles(mean=mean, q05=mean - 5, q50=mean, q95=mean + 5)


def test_the_capped_column_caps_labels_and_clips_predictions_and_the_raw_one_does_neither():
    table = both_columns(
        [prediction(130.0), prediction(80.0), prediction(-4.0)], np.array([205.0, 80.0, 0.0]), 125.0, 1
    )
    assert table["C125"]["rmse"] == 0
    assert table["RAW"]["bias"] == pytest.approx((-75 + 0 - 4) / 3)
    assert table["RAW"]["rmse_near_failure"] == pytest.approx(4)


def test_coverage_and_width_are_of_the_unclipped_interval():
    truth = np.array([20.0, 80.0, 200.0, 200.0])
    figures = both_columns([prediction(mean) for mean in (24.0, 90.0, 121.0, 110.0)], truth, 125.0, 1)["C125"]
    assert (figures["coverage"], figures["width_cycles"]) == (0.5, 10.0)
    assert [figures[f"coverage_rul_{band}"] for band in ("0_50", "51_110", "above_110")] == [1, 0, 0.5]


def test_each_quantile_is_held_against_the_labels_at_its_level_of_the_predicted_median():
    predictions = [prediction(median) for median in (10.0, 12.0, 30.0, 60.0, 90.0, 120.0)]
    levels = by_median(predictions, np.array([4.0, 14.0, 30.0, 60.0, 90.0, 125.0]))
    assert list(levels) == ["up to 20", "20 to 50", "50 to 80", "80 to 110", "above 110"]
    assert levels["up to 20"] == {
        "share": pytest.approx(1 / 3), "to_q05": 0.5, "to_q50": 0.5, "to_q95": 1.0, "width_cycles": 10.0,
    }  # fmt: skip
    assert (levels["above 110"]["to_q50"], levels["above 110"]["to_q95"]) == (0.0, 1.0)


def test_the_bias_is_told_by_level_of_the_true_rul():
    truth = np.array([20.0, 21.0, 80.0, 200.0])
    predictions = [prediction(mean) for mean in (23.0, 20.0, 80.0, 120.0)]
    levels = by_truth(predictions, truth, np.minimum(truth, 125))
    assert [figures["bias_mean"] for figures in levels.values()] == [3.0, -1.0, 0.0, -5.0]
    assert [figures["bias_q50"] for figures in levels.values()] == [3.0, -1.0, 0.0, -5.0]


def test_errors_coverage_and_width_are_told_by_band_of_the_true_rul_and_an_empty_band_has_none():
    predictions = [prediction(mean) for mean in (53.0, 38.0, 130.0, 110.0)]
    bands = by_band(predictions, np.array([50.0, 42.0, 200.0, 111.0]), 125.0)
    assert bands["rul_0_50"] == {
        "predictions": 2, "rmse": pytest.approx(12.5**0.5), "bias": -0.5, "coverage": 1.0, "width_cycles": 10.0,
    }  # fmt: skip
    assert (bands["rul_above_110"]["bias"], bands["rul_above_110"]["coverage"]) == (-0.5, 1.0)
    assert bands["rul_51_110"]["predictions"] == 0
    assert np.isnan(bands["rul_51_110"]["rmse"])


def test_runs_are_summed_up_by_mean_and_sample_deviation():
    table = mean_and_sd([{"C125": {"rmse": 9.0}}, {"C125": {"rmse": 11.0}}])
    assert table == {"C125": {"rmse": 10.0, "rmse_sd": pytest.approx(2**0.5, abs=1e-4)}}


def test_the_bootstrap_interval_holds_the_rmse_and_narrows_with_more_engines():
    def interval(engines):
        truth = np.repeat(np.array([20.0, 80.0, 200.0]), engines)
        error = np.random.default_rng(0).normal(0, 10, truth.size)
        figures = both_columns([prediction(mean) for mean in (truth + error).tolist()], truth, 125.0, 3)["RAW"]
        for figure in ("rmse", "score_sum"):
            assert figures[f"{figure}_low"] < figures[figure] < figures[f"{figure}_high"]
        return figures["rmse_high"] - figures["rmse_low"]

    assert interval(900) < interval(9)
