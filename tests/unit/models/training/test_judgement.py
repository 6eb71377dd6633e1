import numpy as np
import pytest

from models.training import judgement
from models.training.faults import FAULTS, FLAGS, SHORT
from models.training.held_out import AGE_UNKNOWN, SHIPPED
from shared.cmapss import SUBSETS


@pytest.fixture(scope="module")
def parts(make_fold):
    return [make_fold(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def table(parts):
    return judgement.fault_table(parts)


def test_each_fold_is_calibrated_on_the_others(parts, make_fold):
    odd = [*parts[:3], make_fold(3, late_by=-30.0)]
    bias = {
        name: np.mean([one.mean for one in predictions] - np.minimum(whole.truth, 125))
        for name, chosen in {"alike": parts, "odd": odd}.items()
        for whole, predictions in [judgement.calibrated(chosen, SHIPPED)]
    }
    assert bias["alike"] == pytest.approx(0, abs=0.5)
    # The odd fold's own error would have been taken out, had it been calibrated on itself.
    own = judgement.calibrated(odd, SHIPPED)[1][-len(odd[3].truth) :]
    assert np.mean([one.mean for one in own] - np.minimum(odd[3].truth, 125)) < -25


def test_where_the_age_is_unknown_predictions_are_worse_and_calibrated_for_themselves(parts):
    known = judgement.fit_calibration(parts)
    unknown = judgement.fit_ageless_calibration(parts, known)
    assert unknown.mean == known.mean
    assert np.mean(unknown.below) > 1.2 * np.mean(known.below)
    table = judgement.subset_tables(parts, SHIPPED + AGE_UNKNOWN)["pooled"]["C125"]
    assert table["coverage"] == pytest.approx(0.9, abs=0.02)


def test_there_is_a_table_for_each_subset_and_one_for_all(parts):
    tables = judgement.subset_tables(parts, SHIPPED)
    assert list(tables) == [*SUBSETS, "pooled"]
    assert tables["pooled"]["C125"]["rmse"] == pytest.approx(8, abs=1.5)
    assert tables["FD001"]["C125"]["coverage"] == pytest.approx(0.9, abs=0.05)


def test_a_fault_that_is_flagged_widens_the_interval_until_it_covers_again(parts, table):
    calibration = judgement.fit_calibration(parts)
    widening = judgement.fit_widening(parts, calibration)
    assert widening.flags.keys() == {*FLAGS.values()}
    sides = widening.flags["late_start"]
    assert sides.below > 5
    assert sides.above > 5
    for fault in (*FAULTS, SHORT):
        assert table[fault]["coverage_as_is"] < 0.75
        assert table[fault]["coverage_widened"] == pytest.approx(0.9, abs=0.03)
        assert table[fault]["rmse_without"] < table[fault]["rmse_with"]


def test_histories_in_which_a_fault_is_not_flagged_are_told_apart_and_keep_their_interval(table):
    found, missed = table["a channel stuck"], table["a channel stuck, not flagged"]
    assert found["histories"] == pytest.approx(2 * missed["histories"], rel=0.02)
    assert missed["coverage_widened"] == missed["coverage_as_is"] < 0.75
    assert missed["width_cycles_widened"] < found["width_cycles_widened"]
    assert "channels out: 1, not flagged" not in table


def test_what_several_faults_widen_adds_up_to_no_more_than_is_needed(parts, make_fold):
    """A late start comes with channels out: what the one widens is not fitted again to the other."""
    alone = judgement.fit_widening(parts, judgement.fit_calibration(parts))
    late = [make_fold(seed) for seed in range(4)]
    for part in late:
        found = part.faults["channels out: 1"]
        flags = np.full(len(found.truth), '{"T24": ["missing"], "cycle": ["late_start"]}')
        part.faults["channels out: 1"] = found._replace(flags=flags)
    both = judgement.fit_widening(late, judgement.fit_calibration(late))
    assert both.flags["late_start"] == alone.flags["late_start"]
    assert both.unusable_channels[0].above < alone.unusable_channels[0].above / 2
