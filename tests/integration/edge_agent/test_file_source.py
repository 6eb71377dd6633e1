"""The file source over real files."""

import asyncio
import gzip
import os
from datetime import UTC, datetime

import pytest

from edge_agent.ports import RefusedRow
from edge_agent.settings import FileSource
from edge_agent.sources.file import BATCH_ROWS, CmapssFile
from shared.cmapss import CHANNELS, cmapss_line
from shared.errors import SourceError

NOW = datetime(2026, 1, 2, tzinfo=UTC)
VALUES = tuple(float(index) for index in range(len(CHANNELS)))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rows.txt"


def line(cycle, unit=1):
    text = cmapss_line(unit, cycle, VALUES)
    return text if text.endswith("\n") else text + "\n"


def lines(first, last):
    return "".join(line(cycle) for cycle in range(first, last + 1))


def source(path, **options):
    return CmapssFile(FileSource(path=path, poll_interval_s=0.01, **options), {1: "E-1", 2: "E-2"}, lambda: NOW)


async def read_all(path, cursor=None, **options):
    return [batch async for batch in source(path, **options).batches(cursor)]


def cycles(batches):
    return [row.cycle for batch in batches for row in batch.readings]


async def next_rows(batches):
    async with asyncio.timeout(30):
        while not (batch := await anext(batches)).readings:
            pass
    return batch


async def test_every_line_becomes_a_row_of_its_engine(path):
    path.write_text(line(1) + line(1, unit=2))
    [batch] = await read_all(path)
    first, second = batch.readings
    assert (first.engine, second.engine, first.cycle, first.observed_at) == ("E-1", "E-2", 1, NOW)
    assert list(first.channels) == list(CHANNELS)
    assert (first.raw, second.raw) == (line(1).encode(), line(1, unit=2).encode())


async def test_gzip_and_a_last_line_without_line_end_are_read(tmp_path):
    path = tmp_path / "rows.txt.gz"
    path.write_bytes(gzip.compress(lines(1, 3).rstrip().encode()))
    assert cycles(await read_all(path)) == [1, 2, 3]


async def test_a_long_file_comes_in_bounded_batches(path):
    path.write_text(lines(1, BATCH_ROWS + 6))
    assert [len(batch.readings) for batch in await read_all(path)] == [BATCH_ROWS, 6]


async def test_reading_goes_on_behind_the_cursor(path):
    path.write_text(lines(1, BATCH_ROWS + 6))
    first = (await read_all(path))[0]
    assert cycles(await read_all(path, first.cursor)) == list(range(BATCH_ROWS + 1, BATCH_ROWS + 7))


async def test_another_file_under_the_same_name_is_read_from_its_start(path):
    path.write_text(lines(1, 3))
    cursor = (await read_all(path))[-1].cursor
    path.write_text(lines(10, 20))
    assert cycles(await read_all(path, cursor)) == list(range(10, 21))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("1 2 3\n", "26"),
        ("1 x " + "0 " * 24 + "\n", "cycle"),
        (line(1, unit=9), "unit 9"),
        ("\N{DEGREE SIGN}\n", "ascii"),
    ],
)
async def test_a_bad_line_is_refused_with_its_reason_and_the_rest_is_read(path, bad, reason):
    path.write_text(line(1) + bad + line(2))
    [batch] = await read_all(path)
    before, refused, after = batch.readings
    assert isinstance(refused, RefusedRow)
    assert reason in refused.reason
    assert refused.raw == bad.encode()
    assert (before.cycle, after.cycle) == (1, 2)


async def test_a_file_that_is_not_there_is_a_clear_error(path):
    with pytest.raises(SourceError, match=r"rows\.txt"):
        await read_all(path)


async def test_a_damaged_gzip_file_is_a_clear_error(tmp_path):
    path = tmp_path / "rows.txt.gz"
    path.write_bytes(gzip.compress(lines(1, 500).encode())[:200])
    with pytest.raises(SourceError, match=r"rows\.txt\.gz"):
        await read_all(path)


async def test_a_followed_file_is_read_on_as_it_grows_but_never_half_a_line(path):
    path.write_text(lines(1, 2))
    batches = source(path, follow=True).batches(None)
    assert cycles([await next_rows(batches)]) == [1, 2]
    with path.open("a") as file:
        file.write(line(3)[:20])
        file.flush()
        quiet = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0.05)
        assert not quiet.done()
        file.write(line(3)[20:])
    assert cycles([await quiet]) == [3]
    await batches.aclose()


async def test_a_quiet_followed_file_gives_a_sign_of_life_every_second(path):
    path.write_text("")
    batches = source(path, follow=True).batches(None)
    async with asyncio.timeout(10):
        assert (await anext(batches)).readings == []
    await batches.aclose()


@pytest.mark.parametrize("replace", ["cut short", "rotated"])
async def test_a_followed_file_that_is_replaced_is_opened_again(path, replace):
    path.write_text(lines(1, 5))
    batches = source(path, follow=True).batches(None)
    cursor = (await next_rows(batches)).cursor
    if replace == "cut short":
        path.write_text(line(9))
    else:
        path.with_suffix(".new").write_text(lines(9, 20))
        os.replace(path.with_suffix(".new"), path)
    with pytest.raises(SourceError, match="replaced or cut short"):
        await next_rows(batches)
    assert cycles([await next_rows(source(path, follow=True).batches(cursor))])[0] == 9


def test_a_file_has_nothing_to_acknowledge(path):
    assert source(path).accepted(None) is None


@pytest.mark.parametrize("cursor", ["", "{", '{"first_line": 3}'])
async def test_a_cursor_that_cannot_be_read_is_none(path, cursor):
    path.write_text(lines(1, 3))
    assert cycles(await read_all(path, cursor)) == [1, 2, 3]
