import gzip

import numpy as np
import pytest

from models.reading import Life, read_lives, text_sha256
from shared.cmapss import CHANNELS, cmapss_line
from shared.errors import RowError

VALUES = [float(column) for column in range(3, 27)]


def line(unit, cycle, **cells):
    """One line of a file, with some cells spelt otherwise."""
    fields = cmapss_line(unit, cycle, VALUES).split()
    for name, text in cells.items():
        fields[2 + CHANNELS.index(name)] = text
    return " ".join(fields)


def file_of(folder, *lines):
    path = folder / "train.txt"
    path.write_text("".join(f"{each}\n" for each in lines))
    return path


def test_a_file_becomes_lives_and_may_be_packed(tmp_path):
    path = file_of(tmp_path, line(1, 1), line(1, 2, T24="641.82"), line(2, 1))
    packed = tmp_path / "train.txt.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    first, second = read_lives(path)
    assert (first.unit, first.values.shape, second.unit, second.values.tolist()) == (1, (2, 24), 2, [VALUES])
    assert first.values[1, CHANNELS.index("T24")] == 641.82
    assert first.values.flags.c_contiguous  # sums of floating-point numbers hang on their order in memory
    np.testing.assert_array_equal(read_lives(packed)[0].values, first.values)


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (line(1, 3), r"column 2 \(cycle\): 3 where cycle 2 of unit 1 was expected"),
        (line(1, 1), r"column 2 \(cycle\): 1 where cycle 2 of unit 1 was expected"),
        (line(2, 2), r"column 2 \(cycle\): 2 where cycle 1 of unit 2 was expected"),
        (line(3, 1), r"column 1 \(unit\): 3 after unit 1; units must be 1, 2, 3, … in order"),
        (line(1, 2, T50="nan"), r"column 9 \(T50\): the value is missing \(nan\)"),
        (line(1, 2, T50="inf"), r"column 9 \(T50\): 'inf' is not finite"),
        (line(1, 2, T50="x" * 5000), r"column 9 \(T50\): 'x{40}'… \(5000 characters\) is not a number"),
        (line(1, 2) + " 1.0", "27 columns instead of 26"),
        ("", "0 columns instead of 26"),
    ],
)
def test_a_wrong_file_names_line_and_column(tmp_path, second, reason):
    with pytest.raises(RowError, match=rf"train\.txt line 2: {reason}"):
        read_lives(file_of(tmp_path, line(1, 1), second))


def test_of_many_wrong_cells_the_first_is_named(tmp_path):
    lines = line(1, 1), line(1, 2, W31="nan", T30="nan"), line(1, 4, T24="nan"), line(3, 1)
    with pytest.raises(RowError, match=r"line 2: column 8 \(T30\)"):
        read_lives(file_of(tmp_path, *lines))


def test_the_first_unit_is_1(tmp_path):
    with pytest.raises(RowError, match=r"line 1: column 1 \(unit\): 2 in the first line; units must be 1"):
        read_lives(file_of(tmp_path, line(2, 1)))


def test_files_that_cannot_be_read_say_so(tmp_path):
    cut_off = tmp_path / "cut.txt.gz"
    cut_off.write_bytes(gzip.compress(line(1, 1).encode() * 100)[:-20])
    not_gzip = tmp_path / "not.txt.gz"
    not_gzip.write_text(line(1, 1))
    for path in (tmp_path / "absent.txt", cut_off, not_gzip):
        with pytest.raises(RowError, match=f"{path.name}: cannot be read"):
            read_lives(path)
    with pytest.raises(RowError, match="the file is empty"):
        read_lives(file_of(tmp_path))


def test_a_life_ends_with_its_last_row():
    life = Life(1, np.zeros((3, 24)))
    assert (life.cycles.tolist(), life.rul_cycles.tolist()) == ([1, 2, 3], [2, 1, 0])


def test_the_hash_is_of_the_uncompressed_text(tmp_path):
    (tmp_path / "a.txt").write_text("1 2\n")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"1 2\n"))
    assert text_sha256(tmp_path / "a.txt") == text_sha256(tmp_path / "a.txt.gz")
