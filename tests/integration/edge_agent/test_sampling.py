"""From samples to records: a real ring and outbox, crashes at any point, and a source that the test plays."""

import asyncio
import json
import random
import sqlite3
import tempfile
from collections import deque
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent import pipeline as pipeline_module
from edge_agent.cycle_settings import CycleSettings, RingSettings
from edge_agent.outbox import Outbox
from edge_agent.outbox.file import OutboxError
from edge_agent.pipeline import Pipeline
from edge_agent.ports import Batch
from edge_agent.reduction import Reduction
from edge_agent.ring import Ring
from edge_agent.settings import OutboxSettings
from edge_agent.status import SourceGauge
from shared.cycles import EngineCycles, Place
from shared.errors import RowError, SourceError
from shared.messages import ModelRef, RulCycles, Window
from shared.predictor import Outcome, Step
from shared.reduce import ChannelRule
from shared.rows import Sample

START = datetime(2026, 1, 2, tzinfo=UTC)
CHANNELS = [ChannelRule("T24", "mean", -1e9, 1e9)]
ENGINES = ("E-1", "E-2")
MANY = {f"channel-{number:04}": 1.0 for number in range(3000)}


class Crash(BaseException):
    """The process is gone."""


class CountingPredictor:
    """Refuses a row that comes twice, as the real one does."""

    model_ref = ModelRef(name="m", version="1.0.0", sha256="0" * 64)
    runtime = "fake 1"
    manifest = SimpleNamespace(cap_cycles=125.0, channels=[SimpleNamespace(name="T24")])

    def new_state(self):
        return self.state_from_bytes(b"0")

    def state_from_bytes(self, stored):
        state = SimpleNamespace(cycle=int(stored))
        state.to_bytes = lambda: str(state.cycle).encode()
        return state

    def step(self, state, row, *, age_known):
        if row.cycle <= state.cycle:
            raise RowError(f"cycle {row.cycle} after {state.cycle}")
        state.cycle = row.cycle
        window = Window(first_cycle=1, last_cycle=row.cycle, rows=1)
        return Step(dict(row.flags or {}), Outcome(RulCycles(mean=2.0, q05=1.0, q50=2.0, q95=3.0), window, b"\x01"))


class Hardware:
    """Gives samples in batches; what was not accepted comes again where it ``waits``, and is gone where it does not."""

    kind = "fake"

    def __init__(self, batches, *, waits):
        self.left = deque(batches)
        self.unaccepted = deque()
        self.waits = waits
        self.trouble = []

    async def batches(self, cursor):
        if self.waits:
            self.left = self.unaccepted + self.left
        self.unaccepted = deque()
        while self.left:
            samples = self.left.popleft()
            self.unaccepted.append(samples)
            yield Batch(list(samples), receipts=(samples,) if self.waits else ())

    def accepted(self, batch):
        self.unaccepted.popleft()


class Gateway:
    """One agent's sensing side on a folder, as often as it is started."""

    def __init__(self, folder, hardware, *, cycle=None, max_bytes=2**22):
        self.folder, self.hardware = Path(folder), hardware
        self.cycle = cycle or CycleSettings()
        self.max_bytes = max_bytes

    def ring(self):
        return Ring(self.folder / "samples.db", max_bytes=self.max_bytes, disk_reserve_bytes=0, now=lambda: START)

    def outbox(self):
        return Outbox(self.folder / "outbox.db")

    async def run(self, crash=lambda point: None):
        """Until the hardware has ended; ``crash`` is called at every point at which something becomes durable."""
        with closing(self.ring()) as ring, closing(self.outbox()) as outbox:
            _crash_around(ring, "append", crash)
            _crash_around(outbox, "accept", crash)
            self.gauge = SourceGauge("fake")
            reduction = Reduction(self.cycle, CHANNELS, ENGINES, ring, outbox.cycle_place)
            pipeline = Pipeline(
                self.hardware,
                CountingPredictor(),
                outbox,
                ENGINES,
                self.gauge,
                accepted=lambda: None,
                progress=lambda: None,
                now=lambda: START,
                commit=OutboxSettings(commit_interval_ms=0),
                reduction=reduction,
                ring=RingSettings(commit_interval_ms=0),
            )
            task = asyncio.create_task(pipeline.run())
            async with asyncio.timeout(60):
                while self.gauge.status.state != "ended" and not task.done():
                    await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def rows(self):
        """Engine, cycle, T24 and flags of every row that is durable, in order."""
        with closing(self.outbox()) as outbox:
            stored = [json.loads(one.body) for one in outbox.waiting(1, 10**6, limit=10**6, at=0.0)]
        return [
            (one["engine"], one["cycle"], one["channels"]["T24"], one.get("flags", {}))
            for one in stored
            if one["kind"] == "telemetry"
        ]

    def refused(self):
        with closing(self.outbox()) as outbox:
            return outbox.refused_rows()

    def kept(self):
        with closing(self.ring()) as ring:
            return [one for some in ring.after(0) for one in some]


def _crash_around(target, name, crash):
    work = getattr(target, name)

    def crashing(*arguments, **named):
        crash(f"before {name}")
        done = work(*arguments, **named)
        crash(f"after {name}")
        return done

    setattr(target, name, crashing)


def flight(engine, cycle, seconds, start_s):
    return [
        Sample(engine, START + timedelta(seconds=start_s + second), {"T24": float(cycle * 100 + second)}, cycle)
        for second in range(seconds)
    ]


def flights(engine="E-1", cycles=4, seconds=6):
    return [sample for cycle in range(1, cycles + 1) for sample in flight(engine, cycle, seconds, cycle * 100)]


def batches_of(samples, size=2):
    return [samples[first : first + size] for first in range(0, len(samples), size)]


async def test_samples_become_rows_of_the_cycles_that_have_ended(tmp_path):
    gateway = Gateway(tmp_path, Hardware(batches_of(flights()), waits=True))
    await gateway.run()
    assert [row[:3] for row in gateway.rows()] == [("E-1", 1, 102.5), ("E-1", 2, 202.5), ("E-1", 3, 302.5)]
    assert gateway.rows()[0][3] == {"cycle": ["partial"]}
    assert len(gateway.kept()) == 24
    assert (gateway.gauge.status.samples, gateway.gauge.status.rows) == (24, 3)


async def test_a_cycle_in_work_goes_on_after_a_restart_with_the_samples_from_before(tmp_path):
    samples = flights(cycles=2)
    await Gateway(tmp_path, Hardware(batches_of(samples[:9]), waits=False)).run()
    gateway = Gateway(tmp_path, Hardware(batches_of(samples[9:] + flight("E-1", 3, 2, 900)), waits=False))
    await gateway.run()
    assert [row[:3] for row in gateway.rows()] == [("E-1", 1, 102.5), ("E-1", 2, 202.5)]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), by=st.sampled_from(["counter", "gap"]), waits=st.booleans())
def test_p1_crashes_at_any_point_lose_no_durable_sample_and_give_no_row_twice(seed, by, waits):
    chance = random.Random(seed)
    streams = [deque(flights(engine, cycles=chance.randint(1, 5), seconds=chance.randint(1, 7))) for engine in ENGINES]
    samples = []
    while any(streams):
        samples.append(chance.choice([one for one in streams if one]).popleft())
    cycle = CycleSettings(by=by, gap_s=50)
    hardware = Hardware(batches_of(samples, chance.randint(1, 4)), waits=waits)

    def crash(point):
        if chance.random() < 0.15:
            raise Crash(point)

    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(folder, hardware, cycle=cycle)
        for _ in range(30):
            with suppress(Crash):
                asyncio.run(gateway.run(crash))
                break
        asyncio.run(gateway.run())
        kept = [sample for _, sample in gateway.kept()]
        if waits:
            # A source that can wait gives again what it was not answered about, and repeats change nothing.
            assert {(one.engine, one.observed_at) for one in kept} == {(one.engine, one.observed_at) for one in samples}
            kept = samples
        assert gateway.refused() == 0
        for engine in ENGINES:
            rows = [row[:3] for row in gateway.rows() if row[0] == engine]
            ended, all_of_them = rows_of(engine, cycle.rule, kept)
            # A repeat of the newest sample ends the instant before it, and so perhaps a cycle.
            assert rows in (ended, all_of_them[: len(ended) + 1])


def rows_of(engine, rule, samples):
    """What an agent that never crashes makes of samples: the rows that it gives out, and those with what is in work."""
    cycles = EngineCycles(engine, rule, CHANNELS, Place())
    rows = [
        row
        for number, sample in enumerate((one for one in samples if one.engine == engine), start=1)
        for row in cycles.take(number, sample)
    ]
    named = [(row.engine, row.cycle, row.channels["T24"]) for row in rows + cycles.close()]
    return named[: len(rows)], named


async def test_p4_the_ring_keeps_the_newest_and_counts_what_it_gives_up(tmp_path):
    hardware = Hardware(batches_of(flights(cycles=2, seconds=30_000), 1000), waits=False)
    gateway = Gateway(tmp_path, hardware, max_bytes=2**20)
    await gateway.run()
    assert [row[1] for row in gateway.rows()] == [1]
    assert (tmp_path / "samples.db").stat().st_size <= 2**20
    kept, dropped = gateway.kept(), gateway.gauge.status.dropped_samples
    assert 0 < dropped < 60_000
    assert [sample_id for sample_id, _ in kept] == list(range(dropped + 1, 60_001))

    gateway.hardware = Hardware([flight("E-1", 3, 2, 10**6)], waits=False)
    await gateway.run()
    # What was given up of the cycle in work is missing in its row, and the row says so.
    assert gateway.rows()[1][1] == 2
    assert "partial" in gateway.rows()[1][3]["cycle"]


async def test_what_comes_at_once_is_durable_whole_however_much_it_is(tmp_path):
    one = flights(cycles=1, seconds=1)[0]
    large = [replace(one, observed_at=one.observed_at + timedelta(seconds=n), channels=MANY) for n in range(100)]
    gateway = Gateway(tmp_path, Hardware([large], waits=False), max_bytes=2**20)
    await gateway.run()
    kept, dropped = gateway.kept(), gateway.gauge.status.dropped_samples
    assert [sample_id for sample_id, _ in kept] == list(range(dropped + 1, 101))
    assert 0 < dropped < 100


async def test_a_ring_that_is_gone_is_told_with_the_next_row_and_its_ids_go_on(tmp_path):
    samples = flights(cycles=3)
    await Gateway(tmp_path, Hardware(batches_of(samples[:9]), waits=False)).run()
    for path in tmp_path.glob("samples.db*"):
        path.unlink()
    gateway = Gateway(tmp_path, Hardware(batches_of(samples[9:]), waits=False))
    await gateway.run()
    assert gateway.rows()[1][1:] == (2, 203.0, {"cycle": ["partial"]})
    assert min(sample_id for sample_id, _ in gateway.kept()) > 6


async def test_a_damaged_ring_is_set_aside_and_the_agent_goes_on(tmp_path):
    samples = flights(cycles=3)
    await Gateway(tmp_path, Hardware(batches_of(samples[:9]), waits=False)).run()
    with (tmp_path / "samples.db").open("r+b") as file:
        file.write(b"no database at all" * 10)
    gateway = Gateway(tmp_path, Hardware(batches_of(samples[9:]), waits=False))
    await gateway.run()
    assert [row[1] for row in gateway.rows()] == [1, 2]
    assert list(tmp_path.glob("samples.db.damaged-*"))


async def test_a_ring_that_cannot_be_written_costs_nothing_once_it_can(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline_module, "PAUSE_S", 0.001)
    gateway = Gateway(tmp_path, Hardware(batches_of(flights(cycles=2)), waits=False))
    failures = iter([True] * 3)

    def fail(point):
        if point == "before append" and next(failures, False):
            raise OutboxError("disk full")

    await gateway.run(fail)
    assert [row[:3] for row in gateway.rows()] == [("E-1", 1, 102.5)]
    assert len(gateway.kept()) == 12


async def test_hardware_that_is_out_of_reach_is_tried_again_less_and_less_often(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline_module, "PAUSE_S", 0.02)

    opened_s = []

    class Gone(Hardware):
        async def batches(self, cursor):
            opened_s.append(asyncio.get_running_loop().time())
            if len(opened_s) < 5:
                raise SourceError("nobody answers")
            async for batch in super().batches(cursor):
                yield batch

    gateway = Gateway(tmp_path, Gone(batches_of(flights()), waits=False))
    await gateway.run()
    pauses = [after - before for before, after in pairwise(opened_s)]
    assert all(pause >= 0.02 * 2**number for number, pause in enumerate(pauses))
    assert gateway.gauge.status.last_error == "over: nobody answers"


def test_a_row_source_makes_no_ring(tmp_path):
    with closing(Gateway(tmp_path, Hardware([], waits=False)).ring()) as ring:
        assert (ring.is_empty, ring.dropped, list(ring.after(0)), ring.is_lost_after(0, "E-1")) == (True, 0, [], False)
    assert list(tmp_path.iterdir()) == []


def test_samples_are_found_by_engine_and_time(tmp_path):
    with closing(Gateway(tmp_path, None).ring()) as ring:
        ring.append(flights("E-1") + flights("E-2"))
        since, until = START + timedelta(seconds=202), START + timedelta(seconds=301)
        found = [sample for some in ring.between("E-2", since, until) for _, sample in some]
    assert [(one.engine, one.channels["T24"]) for one in found] == [
        ("E-2", value) for value in (202.0, 203.0, 204.0, 205.0, 300.0, 301.0)
    ]


def test_another_database_is_no_ring(tmp_path):
    with closing(sqlite3.connect(tmp_path / "samples.db")) as other:
        other.execute("CREATE TABLE sample (id INTEGER)")
        other.commit()
    with closing(Gateway(tmp_path, None).ring()) as ring:
        ring.append(flights()[:1])
    [aside] = tmp_path.glob("samples.db.damaged-*")
    assert (aside / "samples.db").exists()


class Clock:
    now_s = 0.0


@pytest.fixture
def quiet(tmp_path):
    """A reduction whose clock the test moves."""
    clock = Clock()
    with closing(Gateway(tmp_path, None).ring()) as ring:
        reduction = Reduction(
            CycleSettings(quiet_s=60), CHANNELS, ENGINES, ring, lambda serial: None, monotonic_s=lambda: clock.now_s
        )
        yield reduction, clock


def test_the_row_of_a_silent_engine_is_given_out_after_the_quiet_time(quiet):
    reduction, clock = quiet
    reduction.take(flight("E-1", 7, 1, 0)[0])
    given = []
    for _ in range(60):
        assert given == []
        clock.now_s += 1
        given += reduction.fallen_silent()
    [row] = given
    assert (row.engine, row.cycle) == ("E-1", 7)
    assert reduction.places(["E-1"]).keys() == {"E-1"}


def test_hardware_that_is_out_of_reach_is_not_silent(quiet):
    reduction, clock = quiet
    reduction.take(flight("E-1", 7, 1, 0)[0])
    reduction.fallen_silent()
    clock.now_s += 3600
    assert reduction.fallen_silent() == []
