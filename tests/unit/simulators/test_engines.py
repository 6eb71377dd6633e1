"""The engines of a play: what ages they start at, and what is read from a recording."""

import gzip

import pytest

from shared.cmapss import cmapss_line, parse_line
from shared.errors import SpoolwatchError
from simulators.engine_model import SimulatedEngine
from simulators.engines import LAST_CYCLES, recorded_engines, simulated_fleet


def _remaining(engine):
    rows = list(engine.rows)
    return rows[engine.past_rows].rul_cycles + 1


def _recording(path, lives):
    lines = [
        cmapss_line(unit, cycle, [cycle / 4] * 24) + "\n"
        for unit, life in enumerate(lives, start=1)
        for cycle in range(1, life + 1)
    ]
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress("".join(lines).encode()))
    else:
        path.write_text("".join(lines))
    return lines


@pytest.mark.parametrize("seed", range(5))
def test_a_fleet_starts_with_engines_of_every_age(seed):
    remaining = sorted(_remaining(engine) for engine in simulated_fleet(12, seed))

    assert remaining[0] < 20
    assert any(20 <= cycles < 50 for cycles in remaining)
    assert remaining[-1] > 100


def test_every_engine_of_a_fleet_has_some_cycles_left():
    assert all(_remaining(engine) >= LAST_CYCLES for engine in simulated_fleet(40, 3))


def test_the_same_seed_gives_the_same_fleet():
    first, second = (simulated_fleet(3, 7) for _ in range(2))

    assert [engine.past_rows for engine in first] == [engine.past_rows for engine in second]
    assert [list(engine.rows) for engine in first] == [list(engine.rows) for engine in second]


def test_a_fleet_is_of_the_type_asked_for():
    (engine,) = simulated_fleet(1, 7, subset="FD004")

    expected = SimulatedEngine(engine.serial, 7, subset="FD004")
    assert [row.line for row in engine.rows] == [cmapss_line(1, row.cycle, row.values) for row in expected.rows()]


def test_a_fleet_runs_to_failure_in_lines_that_carry_its_units():
    for unit, engine in enumerate(simulated_fleet(2, 1), start=1):
        rows = list(engine.rows)
        assert [parse_line(row.line)[:2] for row in rows] == [(unit, row.cycle) for row in rows]
        assert [row.rul_cycles for row in rows] == list(range(len(rows) - 1, -1, -1))


def test_serials_stay_in_order_however_large_the_fleet():
    serials = [engine.serial for engine in simulated_fleet(120, 0, "X")]

    assert serials[0] == "X-001"
    assert serials == sorted(serials)


@pytest.mark.parametrize("name", ["train_FD001.txt", "train_FD001.txt.gz"])
def test_a_training_file_is_played_line_by_line_with_its_truth(tmp_path, name):
    lines = _recording(tmp_path / name, [3, 2])

    first, second = recorded_engines(tmp_path / name, units=None, limit=None)

    assert [engine.serial for engine in (first, second)] == ["train_FD001-001", "train_FD001-002"]
    rows = list(first.rows)
    assert [row.line + "\n" for row in rows] == lines[:3]
    assert [row.rul_cycles for row in rows] == [2, 1, 0]


def test_the_truth_of_a_test_file_is_unknown(tmp_path):
    _recording(tmp_path / "test_FD001.txt", [3])

    (engine,) = recorded_engines(tmp_path / "test_FD001.txt", units=None, limit=None)

    assert [row.rul_cycles for row in engine.rows] == [None, None, None]


def test_units_can_be_chosen_and_limited_and_renamed(tmp_path):
    _recording(tmp_path / "rows.txt", [2, 2, 2, 2])

    engines = recorded_engines(tmp_path / "rows.txt", units=frozenset({2, 3, 4}), limit=2, prefix="T")

    assert [(engine.serial, engine.unit) for engine in engines] == [("T-002", 2), ("T-003", 3)]


def test_a_unit_that_is_not_in_the_file_is_named(tmp_path):
    _recording(tmp_path / "rows.txt", [2, 2])

    with pytest.raises(SpoolwatchError, match="no unit 7, 9"):
        recorded_engines(tmp_path / "rows.txt", units=frozenset({1, 7, 9}), limit=None)


def test_a_wrong_line_is_named_before_anything_is_played(tmp_path):
    lines = _recording(tmp_path / "rows.txt", [3])
    (tmp_path / "rows.txt").write_text("".join(lines[:2]) + "1 3 oops\n")

    with pytest.raises(SpoolwatchError, match="line 3: 3 columns"):
        recorded_engines(tmp_path / "rows.txt", units=None, limit=None)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "rows.txt").touch()

    with pytest.raises(SpoolwatchError, match="is empty"):
        recorded_engines(tmp_path / "rows.txt", units=None, limit=None)


def test_a_file_whose_name_makes_no_serial_wants_a_prefix(tmp_path):
    _recording(tmp_path / "my rows.txt", [2])

    with pytest.raises(SpoolwatchError, match="--prefix"):
        recorded_engines(tmp_path / "my rows.txt", units=None, limit=None)

    (engine,) = recorded_engines(tmp_path / "my rows.txt", units=None, limit=None, prefix="mine")
    assert engine.serial == "mine-001"
