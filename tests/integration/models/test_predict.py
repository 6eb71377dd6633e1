"""``spoolwatch-models predict`` as a person calls it."""

import gzip
import math

import pytest

from models import cli
from models.predictions import read_predictions
from models.reading import read_lives
from shared.cmapss import CHANNELS, cmapss_line
from shared.predictor import find_bundle, load_bundle
from shared.rows import SensorRow

RUNTIMES = ("tflite-runtime", "litert")


@pytest.fixture
def predict(test_set, tmp_path):
    def run(*arguments, source=test_set / "test_FD001.txt"):
        output = tmp_path / "out.csv"
        cli.main(["predict", "--subset", "FD001", "--input", str(source), "--output", str(output), *arguments])
        return output

    return run


def test_every_engine_is_predicted_at_its_last_cycle_as_the_agent_would(predict, test_set, capsys):
    lives = read_lives(test_set / "test_FD001.txt")
    predictions = read_predictions(predict())
    released = f"turbofan@{find_bundle('turbofan').name}"
    assert capsys.readouterr().out.endswith(f"out.csv: 5 engines, {released} on tflite-runtime 2.14.0\n")
    assert [(one.unit, one.cycle) for one in predictions] == [(life.unit, len(life.values)) for life in lives]
    predictor = load_bundle(find_bundle("turbofan"))
    state = predictor.new_state()
    for cycle, values in enumerate(lives[1].values.tolist(), start=1):
        row = SensorRow("T2", cycle, None, dict(zip(CHANNELS, values, strict=True)))
        rul = predictor.step(state, row).outcome.rul_cycles
    assert predictions[1].rul_cycles.q50 == pytest.approx(rul.q50, abs=0.001)


def test_the_same_input_gives_the_same_bytes_packed_or_not(predict, test_set, tmp_path):
    plain = predict().read_bytes()
    packed = tmp_path / "rows.txt.gz"
    packed.write_bytes(gzip.compress((test_set / "test_FD001.txt").read_bytes()))
    assert predict(source=packed).read_bytes() == plain


def test_both_runtimes_agree(predict):
    first, second = (read_predictions(predict("--runtime", runtime)) for runtime in RUNTIMES)
    step_cycles = math.ceil(load_bundle(find_bundle("turbofan")).manifest.output.scale * 125)
    for one, other in zip(first, second, strict=True):
        assert one.rul_cycles.mean == pytest.approx(other.rul_cycles.mean, abs=step_cycles)


def test_the_age_can_be_withheld(predict):
    assert predict("--no-age").read_bytes() != predict().read_bytes()


def test_a_model_file_can_be_named(predict):
    released = find_bundle("turbofan")
    champion = predict().read_bytes()
    assert predict("--model", str(released / "model.tflite")).read_bytes() == champion


def test_a_refusal_at_the_last_cycle_names_unit_and_reason_and_writes_nothing(predict, tmp_path, test_set):
    source = tmp_path / "rows.txt"
    source.write_text((test_set / "test_FD001.txt").read_text() + cmapss_line(6, 1, [9e3] * 24) + "\n")
    with pytest.raises(SystemExit, match="unit 6, cycle 1: no prediction: the operating condition is unknown"):
        predict(source=source)
    assert not (tmp_path / "out.csv").exists()


def test_a_wrong_file_ends_with_the_reason(predict, tmp_path):
    source = tmp_path / "rows.txt"
    source.write_text(cmapss_line(1, 2, [1.0] * 24) + "\n")
    with pytest.raises(SystemExit, match=r"rows\.txt line 1: column 2 \(cycle\): 2 where cycle 1"):
        predict(source=source)
