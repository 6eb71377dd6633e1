"""The pipeline with a source, predictor and outbox played by the test."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from edge_agent import pipeline as pipeline_module
from edge_agent.cycle_settings import CycleSettings
from edge_agent.footing import Footing
from edge_agent.outbox import OutboxError, StoredState
from edge_agent.pipeline import Pipeline
from edge_agent.ports import Batch, RefusedRow
from edge_agent.reduction import Reduction
from edge_agent.ring import Ring
from edge_agent.settings import OutboxSettings
from edge_agent.status import SourceGauge
from shared.errors import RowError, SourceError
from shared.messages import ModelRef, RulCycles, SourceStatus, Window, decode, encode
from shared.predictor import Outcome, Step
from shared.rows import SensorRow

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DEFECT = 666
MODEL = ModelRef(name="m", version="1.0.0", sha256="0" * 64)


class FakeState:
    def __init__(self, seen=0):
        self.seen = seen

    def to_bytes(self):
        return str(self.seen).encode()


class FakePredictor:
    model_ref = MODEL
    runtime = "fake 1"

    class manifest:  # noqa: N801  # stands for an attribute
        cap_cycles = 125.0
        channels = (SimpleNamespace(name="T24"),)

    def new_state(self):
        return FakeState()

    def state_from_bytes(self, stored):
        return FakeState(int(stored))

    def step(self, state, row, *, age_known):
        if row.cycle <= state.seen:
            raise RowError(f"cycle {row.cycle} after {state.seen}")
        state.seen = row.cycle
        if row.cycle == DEFECT:
            raise OverflowError("too large")
        if row.channels["T24"] != row.channels["T24"]:
            return Step({"T24": ["missing"]}, refusal="T24 is missing")
        rul = RulCycles(mean=2.0, q05=1.0, q50=2.0, q95=3.0)
        window = Window(first_cycle=1, last_cycle=row.cycle, rows=row.cycle)
        flags = {"channels": ["unknown"]} if len(row.channels) > 1 else {}
        return Step(flags, Outcome(rul, window, b"\x01"))


class FakeSource:
    kind = "fake"

    def __init__(self, *batches):
        self.batches_left = list(batches)
        self.accepted_batches = []
        self.started_from = []

    async def batches(self, cursor):
        self.started_from.append(cursor)
        while self.batches_left:
            batch = self.batches_left.pop(0)
            if isinstance(batch, Exception):
                raise batch
            yield batch

    def accepted(self, batch):
        self.accepted_batches.append(batch)


class FakeOutbox:
    def __init__(self, states=None, failures=0):
        self.states = states or {}
        self.failures = failures
        self.steps = []
        self.cursor = None

    def engine_state(self, serial):
        return self.states.get(serial)

    def accept(self, telemetry, predictions, **step):
        if self.failures:
            self.failures -= 1
            raise OutboxError("disk full")
        self.steps.append((list(map(json.loads, [*telemetry, *predictions])), step))
        self.cursor = step["cursor"]


def row(cycle, engine="E-1", raw=b"", **channels):
    return SensorRow(engine, cycle, NOW, channels or {"T24": 642.0}, raw)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(pipeline_module, "PAUSE_S", 0.0)


def no_samples(engines=("E-1", "E-2")):
    """A reduction that is never given any, so that its ring makes no file."""
    ring = Ring(Path("no-such-folder/samples.db"), max_bytes=2**20, disk_reserve_bytes=0, now=lambda: NOW)
    return Reduction(CycleSettings(), [], engines, ring, lambda serial: None)


AT_ONCE = OutboxSettings(commit_interval_ms=0)


async def run(source, outbox, *, now=NOW, engines=("E-1", "E-2"), commit=AT_ONCE):
    """Run a pipeline until its source has ended; returns the gauge and how often a batch was accepted."""
    gauge = SourceGauge(source.kind)
    accepted = []
    pipeline = Pipeline(
        source,
        FakePredictor(),
        outbox,
        engines,
        gauge,
        accepted=lambda: accepted.append(True),
        progress=lambda: None,
        now=lambda: now,
        commit=commit,
        reduction=no_samples(engines),
    )
    task = asyncio.create_task(pipeline.run())
    async with asyncio.timeout(30):
        while gauge.status.state != "ended":
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return gauge.status, len(accepted)


async def test_a_row_becomes_telemetry_and_prediction_in_one_step_with_cursor_and_state():
    source, outbox = FakeSource(Batch([row(1)], cursor="64")), FakeOutbox()
    status, accepted = await run(source, outbox)
    [(records, step)] = outbox.steps
    assert [record["kind"] for record in records] == ["telemetry", "prediction"]
    assert records[1]["rul_cycles"] == {"mean": 2.0, "q05": 1.0, "q50": 2.0, "q95": 3.0}
    assert records[1]["model"]["sha256"] == MODEL.sha256
    assert step["cursor"] == "64"
    assert step["states"] == {"E-1": StoredState(MODEL.sha256, b"1", Footing().to_bytes())}
    assert (status.rows, accepted, len(source.accepted_batches)) == (1, 1, 1)


async def test_rows_of_several_engines_keep_a_state_each():
    outbox = FakeOutbox()
    await run(FakeSource(Batch([row(1), row(5, "E-2"), row(2)])), outbox)
    assert {serial: kept.state for serial, kept in outbox.steps[0][1]["states"].items()} == {"E-1": b"2", "E-2": b"5"}


async def test_a_refused_prediction_still_leaves_the_telemetry_with_the_reason():
    outbox = FakeOutbox()
    await run(FakeSource(Batch([row(1, T24=float("nan"))])), outbox)
    [record] = outbox.steps[0][0]
    assert (record["kind"], record["refusal"]) == ("telemetry", "T24 is missing")
    assert record["channels"] == {"T24": None}
    assert record["flags"] == {"T24": ["missing"]}


async def test_refused_rows_are_set_aside_with_their_reason_and_the_rest_goes_on():
    outbox = FakeOutbox()
    status, _ = await run(FakeSource(Batch([RefusedRow(b"x y", "not a number"), row(2), row(1), row(3)])), outbox)
    records, step = outbox.steps[0]
    assert [record["cycle"] for record in records if record["kind"] == "telemetry"] == [2, 3]
    assert [refused.reason for refused in step["refused"]] == ["not a number", "cycle 1 after 2"]
    assert (status.rows, status.refused_rows, status.last_error) == (2, 2, "cycle 1 after 2")


async def test_a_row_that_the_model_fails_on_is_refused_and_leaves_its_engine_as_it_was():
    outbox = FakeOutbox()
    status, _ = await run(FakeSource(Batch([row(1), row(DEFECT, raw=b"1 666"), row(2)])), outbox)
    records, step = outbox.steps[0]
    assert [record["cycle"] for record in records if record["kind"] == "telemetry"] == [1, 2]
    assert step["states"]["E-1"].state == b"2"
    [refused] = step["refused"]
    assert (refused.raw, refused.reason) == (b"1 666", "engine E-1: no record can be made: OverflowError: too large")
    assert status.refused_rows == 1


async def test_a_row_that_cannot_be_encoded_is_refused_and_leaves_its_engine_as_it_was():
    outbox = FakeOutbox()
    await run(FakeSource(Batch([row(1), row(2, T24="\ud800"), row(2)])), outbox)
    records, step = outbox.steps[0]
    assert [record["cycle"] for record in records if record["kind"] == "telemetry"] == [1, 2]
    assert len(step["refused"]) == 1


async def test_channels_the_model_does_not_know_are_left_out_of_the_record_and_told_of_once():
    strange = {f"v{number}": 1.0 for number in range(7)}
    outbox = FakeOutbox()
    with capture_logs() as logs:
        await run(FakeSource(Batch([row(1, T24=642.0, **strange), row(2, T24=642.0, **strange)])), outbox)
    telemetry = [record for record in outbox.steps[0][0] if record["kind"] == "telemetry"]
    assert [record["channels"] for record in telemetry] == [{"T24": 642.0}] * 2
    assert telemetry[0]["flags"] == {"channels": ["unknown"]}
    [told] = [entry for entry in logs if entry["event"] == "unknown_channels_left_out"]
    assert told["channels"] == "v0, v1, v2, v3, v4 and 2 more"


@pytest.mark.parametrize(
    "trouble",
    [Batch([RefusedRow(b"x", "n" * 5000)]), SourceError("s" * 5000)],
)
async def test_p9_a_reason_of_any_length_leaves_a_status_that_the_contract_lets_through(trouble):
    outbox = FakeOutbox()
    status, _ = await run(FakeSource(trouble), outbox)
    assert decode(encode(status), SourceStatus).last_error[-1] == "…"
    assert all(len(refused.reason) <= 1000 for _, step in outbox.steps for refused in step["refused"])


async def test_a_refused_row_is_kept_as_the_bytes_that_came():
    outbox = FakeOutbox()
    await run(FakeSource(Batch([row(2), row(1, raw=b"1 1 \xff")])), outbox)
    assert [refused.raw for refused in outbox.steps[0][1]["refused"]] == [b"1 1 \xff"]


async def test_the_state_goes_on_where_it_was_accepted():
    outbox = FakeOutbox(states={"E-1": StoredState(MODEL.sha256, b"7")})
    await run(FakeSource(Batch([row(7), row(8)])), outbox)
    assert [record["cycle"] for record in outbox.steps[0][0]] == [8, 8]


async def test_a_batch_waits_until_the_outbox_can_take_it_and_is_acknowledged_only_then():
    source, outbox = FakeSource(Batch([row(1)]), Batch([row(2)])), FakeOutbox(failures=2)
    await run(source, outbox)
    assert [step[0][0]["cycle"] for step in outbox.steps] == [1, 2]
    assert len(source.accepted_batches) == 2


async def test_a_failing_source_is_opened_again_at_the_cursor():
    source = FakeSource(Batch([row(1)], cursor="64"), SourceError("cable"), Batch([row(2)], cursor="128"))
    outbox = FakeOutbox()
    status, _ = await run(source, outbox)
    assert source.started_from == [None, "64"]
    assert status.rows == 2
    assert status.last_error == "over: cable"


async def test_a_source_that_is_back_and_has_no_rows_yet_has_not_failed(monkeypatch):
    noted, note = [], SourceGauge.note

    def noting(gauge, **changes):
        note(gauge, **changes)
        noted.append((gauge.status.state, gauge.status.last_error))

    monkeypatch.setattr(SourceGauge, "note", noting)
    await run(FakeSource(SourceError("cable"), Batch(), Batch(), Batch([row(1)])), FakeOutbox())
    assert noted == [
        ("failed", "cable"),
        ("waiting", "cable"),
        ("reading", "over: cable"),
        ("ended", "over: cable"),
    ]


async def test_a_source_that_goes_on_failing_is_told_of_when_it_begins_changes_and_ends():
    cable, power = SourceError("cable"), SourceError("power")
    source = FakeSource(*[cable] * 5, Batch(), *[cable] * 3, power, power, Batch([row(1)]), Batch([row(2)]))
    with capture_logs() as logs:
        await run(source, FakeOutbox())
    told = [(entry["event"], entry.get("reason")) for entry in logs if entry["event"] != "source_ended"]
    assert told == [("source_failed", "cable"), ("source_failed", "power"), ("source_recovered", None)]


async def test_an_outbox_that_goes_on_failing_is_told_of_when_it_begins_and_ends():
    with capture_logs() as logs:
        await run(FakeSource(Batch([row(1)])), FakeOutbox(failures=5))
    assert [entry["event"] for entry in logs] == ["outbox_write_failed", "outbox_written_again", "source_ended"]


async def test_an_empty_batch_is_no_step():
    outbox = FakeOutbox()
    _, accepted = await run(FakeSource(Batch()), outbox)
    assert (outbox.steps, accepted) == ([], 0)


async def test_a_clock_that_starts_in_1970_is_said_to_be_unsynced():
    outbox = FakeOutbox()
    await run(FakeSource(Batch([row(1)])), outbox, now=datetime(1970, 1, 1, 0, 5, tzinfo=UTC))
    assert outbox.steps[0][0][0]["clock_unsynced"] is True


async def test_rows_that_come_close_together_share_one_commit_with_the_last_cursor():
    source = FakeSource(*(Batch([row(cycle)], cursor=str(cycle)) for cycle in range(1, 8)))
    outbox = FakeOutbox()
    status, accepted = await run(source, outbox, commit=OutboxSettings(commit_rows=3, commit_interval_ms=60_000))
    committed = [[r["cycle"] for r in records if r["kind"] == "telemetry"] for records, _ in outbox.steps]
    # The first row comes after a pause and is committed at once; the end of the source waits for nothing.
    assert committed == [[1], [2, 3, 4], [5, 6, 7]]
    assert [step["cursor"] for _, step in outbox.steps] == ["1", "4", "7"]
    assert (status.rows, accepted) == (7, 3)
    assert [batch.cursor for batch in source.accepted_batches] == list("1234567")


async def test_a_commit_numbers_telemetry_before_predictions():
    outbox = FakeOutbox()
    await run(FakeSource(Batch([row(1), row(2)])), outbox)
    [(records, _)] = outbox.steps
    assert [(record["kind"], record["cycle"]) for record in records] == [
        ("telemetry", 1),
        ("telemetry", 2),
        ("prediction", 1),
        ("prediction", 2),
    ]


class SilentSource(FakeSource):
    """Gives its batches and then nothing, without an end."""

    async def batches(self, cursor):
        async for batch in super().batches(cursor):
            yield batch
        await asyncio.Event().wait()


def start(source, outbox, commit):
    pipeline = Pipeline(
        source,
        FakePredictor(),
        outbox,
        ["E-1"],
        SourceGauge(source.kind),
        accepted=lambda: None,
        progress=lambda: None,
        now=lambda: NOW,
        commit=commit,
        reduction=no_samples(),
    )
    return asyncio.create_task(pipeline.run())


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_row_waits_no_longer_than_the_interval_for_others_to_share_its_commit():
    outbox = FakeOutbox()
    task = start(SilentSource(Batch([row(1)]), Batch([row(2)])), outbox, OutboxSettings(commit_interval_ms=20))
    await until(lambda: len(outbox.steps) == 2)
    assert [[record["cycle"] for record in records] for records, _ in outbox.steps] == [[1, 1], [2, 2]]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_stop_commits_and_acknowledges_what_was_read():
    source, outbox = SilentSource(Batch([row(1)]), Batch([row(2)])), FakeOutbox()
    task = start(source, outbox, OutboxSettings(commit_interval_ms=60_000))
    await until(lambda: outbox.steps and not source.batches_left)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [step[0][0]["cycle"] for step in outbox.steps] == [1, 2]
    assert len(source.accepted_batches) == 2


async def test_rows_read_before_a_source_fails_are_committed_before_it_is_opened_again():
    source = FakeSource(Batch([row(1)], cursor="1"), Batch([row(2)], cursor="2"), SourceError("cable"))
    outbox = FakeOutbox()
    await run(source, outbox, commit=OutboxSettings(commit_interval_ms=60_000))
    assert source.started_from == [None, "2"]


async def test_hardware_in_reach_that_gives_nothing_is_told_and_so_is_its_end():
    class Silent(FakeSource):
        async def batches(self, cursor):
            while not speaks.is_set():
                yield Batch()
                await asyncio.sleep(0.001)
            yield Batch([row(1)])
            await asyncio.Event().wait()

    speaks, source = asyncio.Event(), Silent()
    gauge, reduction = SourceGauge("fake"), no_samples()
    reduction.quiet_s = 0.02
    pipeline = Pipeline(
        source,
        FakePredictor(),
        FakeOutbox(),
        ["E-1"],
        gauge,
        accepted=lambda: None,
        progress=lambda: None,
        now=lambda: NOW,
        commit=AT_ONCE,
        reduction=reduction,
    )
    task = asyncio.create_task(pipeline.run())
    with capture_logs() as logs:
        await until(lambda: gauge.status.last_error is not None)
        assert gauge.status.state == "waiting"
        assert gauge.status.last_error == "the hardware is in reach and has given nothing for 0.02 s"
        await asyncio.sleep(0.05)
    assert [one["event"] for one in logs] == ["source_silent"]
    speaks.set()
    await until(lambda: gauge.status.state == "reading")
    assert gauge.status.last_error.startswith("over: the hardware is in reach")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_source_that_hangs_is_a_failed_one_and_the_loop_makes_progress_meanwhile(monkeypatch):
    monkeypatch.setattr(pipeline_module, "STALLED_S", 0.05)
    monkeypatch.setattr(pipeline_module, "PROGRESS_S", 0.01)
    gauge, beats = SourceGauge("fake"), []
    pipeline = Pipeline(
        SilentSource(),
        FakePredictor(),
        FakeOutbox(),
        ["E-1"],
        gauge,
        accepted=lambda: None,
        progress=lambda: beats.append(1),
        now=lambda: NOW,
        commit=AT_ONCE,
        reduction=no_samples(),
    )
    task = asyncio.create_task(pipeline.run())
    await until(lambda: gauge.status.state == "failed")
    assert gauge.status.last_error.startswith("the source hangs: no word of it for 0.05 s")
    assert beats
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
