"""What commands ask of the sensing side: a real predictor and outbox, with a source that the test plays."""

import asyncio
import contextlib
from datetime import UTC, datetime
from itertools import islice

import pytest

from edge_agent import pipeline as pipeline_module
from edge_agent.cycle_settings import CycleSettings
from edge_agent.outbox import Outbox
from edge_agent.pipeline import Pipeline
from edge_agent.ports import Batch
from edge_agent.reduction import Reduction
from edge_agent.ring import Ring
from edge_agent.settings import OutboxSettings
from edge_agent.status import SourceGauge
from shared.cmapss import CHANNELS
from shared.errors import RowError
from shared.messages import Prediction, Telemetry, decode_record
from shared.predictor import find_bundle, load_bundle
from shared.reduce import channel_rules
from shared.rows import SensorRow
from simulators.engine_model import SimulatedEngine

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DEADLINE_S = 60


class FakeSource:
    """Gives the rows it is handed, and hangs in between; ``opened_at`` are the cursors that it began from."""

    kind = "fake"

    def __init__(self):
        self.rows = asyncio.Queue()
        self.opened_at = []
        self.closed = 0

    async def batches(self, cursor):
        self.opened_at.append(cursor)
        try:
            while (row := await self.rows.get()) is not None:
                yield Batch([row], cursor=str(row.cycle))
        finally:
            self.closed += 1

    def accepted(self, batch):
        pass


class Sensing:
    """A pipeline that runs."""

    def __init__(self, folder, predictor):
        self.source, self.outbox, self.woken = FakeSource(), Outbox(folder / "outbox.db"), 0
        self.gauge = SourceGauge(self.source.kind)
        self.pipeline = Pipeline(
            self.source,
            predictor,
            self.outbox,
            ["E-1"],
            self.gauge,
            accepted=self._wake,
            progress=lambda: None,
            now=lambda: NOW,
            commit=OutboxSettings(commit_interval_ms=0),
            reduction=self.reduction(folder, predictor),
        )

    def reduction(self, folder, predictor):
        ring = Ring(folder / "samples.db", max_bytes=2**20, disk_reserve_bytes=0, now=lambda: NOW)
        return Reduction(CycleSettings(), channel_rules(predictor.manifest), ["E-1"], ring, self.outbox.cycle_place)

    def _wake(self):
        self.woken += 1

    def records(self):
        return [decode_record(stored.body) for stored in self.outbox.waiting(1, 99, limit=99, at=NOW.timestamp())]

    async def until(self, condition):
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0.001)


@pytest.fixture(scope="module")
def predictor():
    return load_bundle(find_bundle("turbofan"))


@pytest.fixture
async def sensing(tmp_path, predictor, monkeypatch):
    monkeypatch.setattr(pipeline_module, "PAUSE_S", 0.001)
    sensing = Sensing(tmp_path, predictor)
    task = asyncio.create_task(sensing.pipeline.run())
    yield sensing
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    sensing.outbox.close()


def rows(count):
    for cycle, values, _ in islice(SimulatedEngine("E-1", seed=3).rows(), count):
        yield SensorRow("E-1", cycle, NOW, dict(zip(CHANNELS, values, strict=True)))


async def test_by_command_the_latest_prediction_is_made_again_with_the_id_of_the_request(sensing):
    for row in rows(3):
        sensing.source.rows.put_nowait(row)
    await sensing.until(lambda: len(sensing.records()) == 6)
    woken = sensing.woken
    sensing.pipeline.predict("E-1", "r-1")
    *before, asked = sensing.records()
    unasked = before[-1]
    assert isinstance(unasked, Prediction)
    assert (asked.origin, asked.request_id, asked.cycle) == ("command", "r-1", 3)
    assert (asked.rul_cycles, asked.input, asked.window) == (unasked.rul_cycles, unasked.input, unasked.window)
    assert (sensing.woken, sensing.outbox.cursor) == (woken + 1, "3")


async def test_what_cannot_be_predicted_says_why_and_stores_nothing(sensing):
    with pytest.raises(RowError, match="engine E-1: no row of it has come since the agent was started"):
        sensing.pipeline.predict("E-1", "r-1")
    with pytest.raises(RowError, match="engine E-2 is not watched by this gateway"):
        sensing.pipeline.predict("E-2", "r-1")
    sensing.source.rows.put_nowait(SensorRow("E-1", 1, NOW, {"T24": 640.0}))
    await sensing.until(sensing.records)
    with pytest.raises(RowError, match="the operating condition is unknown"):
        sensing.pipeline.predict("E-1", "r-1")
    assert [type(record) for record in sensing.records()] == [Telemetry]


async def test_a_source_that_hangs_is_closed_and_opened_anew_where_reading_goes_on(sensing):
    first, second = rows(2)
    sensing.source.rows.put_nowait(first)
    await sensing.until(lambda: len(sensing.records()) == 2)
    sensing.pipeline.restart_source()
    await sensing.until(lambda: sensing.source.opened_at == [None, "1"])
    assert sensing.source.closed == 1
    sensing.source.rows.put_nowait(second)
    await sensing.until(lambda: len(sensing.records()) == 4)
    assert sensing.gauge.status.state == "reading"


async def test_a_source_that_has_ended_is_opened_again(sensing):
    sensing.source.rows.put_nowait(None)
    await sensing.until(lambda: sensing.gauge.status.state == "ended")
    sensing.pipeline.restart_source()
    await sensing.until(lambda: sensing.source.opened_at == [None, None])
    sensing.source.rows.put_nowait(next(rows(1)))
    await sensing.until(lambda: len(sensing.records()) == 2)
