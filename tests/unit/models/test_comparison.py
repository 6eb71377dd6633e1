import numpy as np
import pytest

from models.comparison import compare
from shared.errors import SpoolwatchError
from shared.scoring import phm08_score

RULS = list(range(10, 110))
NOISE = np.random.default_rng(0).normal(0, 10, len(RULS))


def test_the_difference_is_that_of_all_engines_with_an_interval_around_it(truth, predictions):
    a, b = predictions("a.csv", RULS, NOISE), predictions("b.csv", RULS, 1.2 * NOISE)
    found = compare([a], [b], truth(*RULS)).figures["RAW"]
    rmse = np.sqrt(np.mean(NOISE**2))
    assert (found["rmse"].a, found["rmse"].b) == (pytest.approx(rmse, abs=1e-3), pytest.approx(1.2 * rmse, abs=1e-3))
    assert found["rmse"].low < found["rmse"].difference < found["rmse"].high < 0
    assert found["rmse"].a_better == 1.0
    assert found["score_sum"].a == pytest.approx(phm08_score(NOISE).sum(), abs=0.02)


def test_draws_are_paired_so_that_what_both_miss_alike_cancels_out(truth, predictions):
    a, b = predictions("a.csv", RULS, NOISE), predictions("b.csv", RULS, NOISE + 0.001)
    found = compare([a], [b], truth(*RULS)).figures["RAW"]["rmse"]
    assert found.high - found.low < 0.01


def test_two_models_of_one_accuracy_are_told_apart_in_about_half_of_the_draws(truth, predictions):
    # Each errs by the same sizes, on other engines.
    a, b = predictions("a.csv", RULS, NOISE), predictions("b.csv", RULS, np.roll(NOISE, 50))
    found = compare([a], [b], truth(*RULS)).figures["RAW"]["rmse"]
    assert found.low < 0 < found.high
    assert 0.4 < found.a_better < 0.6


def test_swapping_sides_turns_the_difference_round(truth, predictions):
    a, b = predictions("a.csv", RULS, NOISE), predictions("b.csv", RULS, 1.05 * NOISE + 1)
    one, other = (compare(*sides, truth(*RULS)).figures["C125"]["rmse"] for sides in (([a], [b]), ([b], [a])))
    assert (one.difference, one.low, one.high) == (-other.difference, -other.high, -other.low)
    assert one.a_better == pytest.approx(1 - other.a_better)


def test_each_side_is_the_mean_over_its_seeds(truth, predictions):
    a = [predictions("a0.csv", RULS, [3] * 100), predictions("a1.csv", RULS, [-5] * 100)]
    found = compare(a, [predictions("b.csv", RULS, [4] * 100)], truth(*RULS)).figures["RAW"]["rmse"]
    assert (found.a, found.b, found.difference, found.a_better) == (4, 4, 0, 0)


def test_the_capped_column_clips_predictions_and_caps_labels(truth, predictions):
    files = predictions("a.csv", [145, 3], [0, -9]), predictions("b.csv", [145, 3], [5, -9])
    found = compare([files[0]], [files[1]], truth(145, 3)).figures
    assert (found["C125"]["rmse"].difference, found["RAW"]["rmse"].a) == (0, pytest.approx(9 / 2**0.5, abs=1e-3))
    assert found["RAW"]["rmse"].difference < 0


def test_the_table_names_both_sides_and_every_figure(truth, predictions):
    a, b = predictions("a.csv", RULS, NOISE), predictions("b.csv", RULS, 1.2 * NOISE)
    text = str(compare([a], [b], truth(*RULS)))
    assert text.startswith(f"A: {a}\nB: {b}\n100 engines, truth ")
    rows = [line.split(",")[0] + "," + line.split(",")[1][:5] for line in text.splitlines()[5:]]
    assert rows == ["RMSE, C125", "RMSE, RAW ", "PHM08 score, C125", "PHM08 score, RAW "]
    assert "100.0%" in text


def test_other_engines_are_refused(truth, predictions):
    a, b = predictions("a.csv", RULS, NOISE), predictions("b.csv", RULS[1:], NOISE[1:])
    with pytest.raises(SpoolwatchError, match=r"b\.csv lacks unit 100"):
        compare([a], [b], truth(*RULS))
