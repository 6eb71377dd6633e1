from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.ports import RefusedRow
from edge_agent.sources.lines import LINE_MAX_BYTES, LineBuffer


@given(
    lines=st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line)), cuts=st.lists(st.integers(0, 400))
)
def test_lines_come_whole_however_the_stream_is_cut(lines, cuts):
    stream = b"".join(line + b"\n" for line in lines)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    buffer, found = LineBuffer(), []
    for start, end in pairwise(places):
        found += buffer.take(stream[start:end])
    assert found == [line.strip() for line in lines if line.strip()]
    assert buffer.end() == []


@pytest.mark.parametrize("piece", [1000, LINE_MAX_BYTES, 10 * LINE_MAX_BYTES])
def test_of_a_line_that_is_too_long_the_beginning_is_set_aside_once_and_the_next_line_is_read(piece):
    stream = b"x" * (3 * LINE_MAX_BYTES) + b"\nnext\n"
    buffer, found = LineBuffer(), []
    for start in range(0, len(stream), piece):
        found += buffer.take(stream[start : start + piece])
    refused, line = found
    assert isinstance(refused, RefusedRow)
    assert "more than 65536 bytes" in refused.reason
    assert len(refused.raw) + piece >= LINE_MAX_BYTES
    assert len(refused.raw) <= LINE_MAX_BYTES
    assert line == b"next"


def test_half_a_line_at_the_end_of_the_stream_is_set_aside():
    buffer = LineBuffer()
    assert buffer.take(b'{"engine": "E-') == []
    [refused] = buffer.end()
    assert (refused.raw, refused.reason) == (b'{"engine": "E-', "the connection ended within this line")


def test_of_a_line_that_is_too_long_the_end_of_the_stream_tells_nothing_more():
    buffer = LineBuffer()
    assert len(buffer.take(b"x" * 2 * LINE_MAX_BYTES)) == 1
    buffer.take(b"yyy")
    assert buffer.end() == []
