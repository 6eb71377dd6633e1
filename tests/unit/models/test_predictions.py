import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.predictions import (
    CHAMPIONS,
    HEADER,
    Prediction,
    check_units,
    model_folder,
    read_predictions,
    read_truth,
    write_predictions,
)
from shared.cmapss import SUBSETS
from shared.errors import BundleError, SpoolwatchError
from shared.messages import RulCycles

CYCLES = st.floats(-500, 500)


def prediction(unit, q50=50.0):
    return Prediction(unit, 31, RulCycles(mean=q50, q05=q50 - 9, q50=q50, q95=q50 + 9))


def file_of(folder, *lines, name="p.csv"):
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_the_file_holds_unit_cycle_and_four_numbers_with_three_decimals(tmp_path):
    path = tmp_path / "p.csv"
    write_predictions(path, [Prediction(7, 31, RulCycles(mean=112.34567, q05=-0.0001, q50=110.5, q95=140.0))])
    assert path.read_bytes() == b"unit,cycle,rul_mean,rul_q05,rul_q50,rul_q95\n7,31,112.346,0.000,110.500,140.000\n"


@given(st.lists(st.tuples(CYCLES, CYCLES, CYCLES, CYCLES), min_size=1, max_size=5))
def test_what_is_written_is_read_back_but_for_the_rounding(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "p.csv"
    written = []
    for unit, (mean, *quantiles) in enumerate(rows, start=1):
        q05, q50, q95 = sorted(quantiles)
        written.append(Prediction(unit, unit, RulCycles(mean=mean, q05=q05, q50=q50, q95=q95)))
    write_predictions(path, written)
    for before, after in zip(written, read_predictions(path), strict=True):
        assert (after.unit, after.cycle) == (before.unit, before.cycle)
        for head in ("mean", "q05", "q50", "q95"):
            assert getattr(after.rul_cycles, head) == pytest.approx(getattr(before.rul_cycles, head), abs=0.00051)


def test_units_are_read_in_their_order(tmp_path):
    path = tmp_path / "p.csv"
    write_predictions(path, [prediction(2), prediction(1)])
    assert [one.unit for one in read_predictions(path)] == [1, 2]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,9,1,1,1", "line 3: 5 columns instead of 6"),
        ("1,9,1,1,1,1", "line 3: unit 1 for the second time"),
        ("0,9,1,1,1,1", "line 3: unit '0' is not a whole number from 1"),
        ("2,9.5,1,1,1,1", "line 3: cycle '9.5' is not a whole number from 1"),
        ("2,9,1,x,1,1", "line 3: not four numbers of cycles: 1,x,1,1"),
        ("2,9,nan,1,1,1", "line 3: a number is not finite"),
        ("2,9,1,2,1,3", r"line 3: the quantiles are not in order: 2\.0, 1\.0, 3\.0"),
        ("", "line 3: 1 columns instead of 6"),
    ],
)
def test_a_wrong_file_names_the_line(tmp_path, line, reason):
    with pytest.raises(SpoolwatchError, match=rf"p\.csv {reason}"):
        read_predictions(file_of(tmp_path, ",".join(HEADER), "1,9,1,1,1,1", line))


def test_a_file_without_the_header_or_that_cannot_be_read_says_so(tmp_path):
    with pytest.raises(SpoolwatchError, match="line 1: the header is not unit,cycle,rul_mean"):
        read_predictions(file_of(tmp_path, "1,9,1,1,1,1"))
    with pytest.raises(SpoolwatchError, match=r"absent\.csv cannot be read: .*No such file"):
        read_predictions(tmp_path / "absent.csv")


def test_what_cannot_be_written_says_so_and_an_earlier_file_stays(tmp_path):
    with pytest.raises(SpoolwatchError, match=r"p\.csv cannot be written: No such file"):
        write_predictions(tmp_path / "absent" / "p.csv", [prediction(1)])
    path = file_of(tmp_path, "earlier")
    (tmp_path / ".p.csv.new").mkdir()
    with pytest.raises(SpoolwatchError, match="cannot be written"):
        write_predictions(path, [prediction(1)])
    assert path.read_text() == "earlier\n"


def test_the_truth_is_one_whole_number_per_unit(tmp_path):
    assert read_truth(file_of(tmp_path, "112 ", "0")) == [112, 0]
    with pytest.raises(SpoolwatchError, match=r"p\.csv line 2: '-3' is not a RUL"):
        read_truth(file_of(tmp_path, "112", "-3"))
    with pytest.raises(SpoolwatchError, match="the file is empty"):
        read_truth(file_of(tmp_path))


def test_missing_and_surplus_units_are_named(tmp_path):
    check_units(tmp_path, [prediction(1), prediction(2)], 2)
    with pytest.raises(SpoolwatchError, match=r"lacks unit 2, 3: the truth is of units 1 to 3; are both"):
        check_units(tmp_path, [prediction(1)], 3)
    with pytest.raises(SpoolwatchError, match=r"has unit 2, .*11, …: the truth is of units 1 to 1"):
        check_units(tmp_path, [prediction(unit) for unit in range(1, 20)], 1)


def test_every_subset_has_a_champion_and_it_is_released():
    assert set(CHAMPIONS) == set(SUBSETS)
    for name in CHAMPIONS.values():
        assert (model_folder(name) / "manifest.json").is_file()


def test_a_model_is_named_by_its_file_its_folder_or_its_name(tmp_path):
    released = model_folder("turbofan")
    assert model_folder(f"turbofan@{released.name}") == released
    assert model_folder(str(released / "model.tflite")) == released
    assert model_folder(str(released)) == released
    with pytest.raises(BundleError, match=r"absent/model\.tflite: there is no such model file"):
        model_folder(str(tmp_path / "absent" / "model.tflite"))
