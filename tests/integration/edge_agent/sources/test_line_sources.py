"""Lines of JSON over what can fail in ways of its own: a connection to a peer without power, a serial line."""

import asyncio
import errno
import os
from datetime import UTC, datetime

import pytest

from edge_agent.serial_settings import SerialSource
from edge_agent.sources.lines import JsonLines
from edge_agent.sources.readings import JsonReadings
from edge_agent.sources.serial import SerialLines
from shared.errors import SourceError


def now():
    return datetime(2026, 1, 2, tzinfo=UTC)


def source(device):
    return SerialLines(SerialSource(device=device), {"E-1"}, now)


async def test_a_peer_that_has_lost_its_power_is_a_failure_and_no_silence():
    stream = asyncio.StreamReader()
    stream.set_exception(OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))
    with pytest.raises(SourceError, match=r"10\.0\.0\.5:4001: Connection timed out"):
        await JsonLines(stream, "10.0.0.5:4001", JsonReadings("samples", {"E-1"}, now)).next_batch()


async def test_a_serial_line_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SourceError, match="line0 cannot be opened"):
        await anext(source(tmp_path / "line0").batches(None))


async def test_a_serial_line_that_takes_no_such_setting_is_named(stubborn_line):
    with pytest.raises(SourceError, match=f"{stubborn_line.near} cannot be opened: .*Invalid argument"):
        await anext(source(stubborn_line.near).batches(None))


async def test_two_readers_do_not_share_a_serial_line(serial_line):
    batches = source(serial_line.near).batches(None)
    await anext(batches)
    with pytest.raises(SourceError, match="cannot be opened"):
        await anext(source(serial_line.near).batches(None))
    await batches.aclose()
