"""The real model follows an engine through installations and overhauls, as the centre tells of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice

import numpy as np
import pytest

from edge_agent.engines import Engines
from edge_agent.footing import Footing
from shared.cmapss import CHANNELS
from shared.desired import SEED_FIRST_ROWS, SEED_LAST_ROWS, DesiredEngine, Seed
from shared.errors import RowError
from shared.messages import decode_record
from shared.predictor import find_bundle, load_bundle
from shared.quality import LATE_START, SHORT_LATE_START, UNKNOWN_AGE, WINDOW_GAP
from shared.rows import SensorRow
from simulators.engine_model import SimulatedEngine

BEGAN = datetime(2026, 1, 2, tzinfo=UTC)
NOW = BEGAN + timedelta(days=30)


@pytest.fixture(scope="module")
def predictor():
    return load_bundle(find_bundle("turbofan"))


@pytest.fixture(scope="module")
def life():
    """Rows of one engine from its first cycle, one an hour."""
    rows = islice(SimulatedEngine("E-1", seed=4).rows(), 170)
    return [
        SensorRow("E-1", cycle, BEGAN + timedelta(hours=cycle), dict(zip(CHANNELS, values, strict=True)))
        for cycle, values, _ in rows
    ]


class Centre:
    """Says of engine E-1 what the test wants."""

    def __init__(self):
        self.says = None

    def __call__(self, serial):
        return self.says if serial == "E-1" else None

    def install(self, installation_id="i-1", installed_from=BEGAN, **fields):
        self.says = DesiredEngine(
            serial="E-1", position="1", installation_id=installation_id, installed_from=installed_from, **fields
        )


@pytest.fixture
def centre():
    return Centre()


@pytest.fixture
def open_engines(predictor, centre):
    """As after a start of the agent with these stored states."""
    return lambda stored=None, now=NOW: Engines(predictor, ["E-1"], (stored or {}).get, lambda: now, centre)


def predictions(engines, rows):
    made = [engines.take(row) for row in rows]
    return [decode_record(one.prediction) for one in made]


def tensor(prediction):
    return np.frombuffer(prediction.input, np.int8).astype(int)


def from_cycle_1(rows):
    """The same rows under the counter of a new installation."""
    return [replace(row, cycle=number) for number, row in enumerate(rows, start=1)]


def seed_of(rows):
    kept = [*rows[:SEED_FIRST_ROWS], *rows[SEED_FIRST_ROWS:][-SEED_LAST_ROWS:]]
    return Seed(channels=list(CHANNELS), rows=[(row.cycle, [row.channels[name] for name in CHANNELS]) for row in kept])


def test_the_installation_is_echoed_once_the_centre_has_named_it(open_engines, centre, life):
    engines = open_engines()
    before = engines.take(life[0])
    centre.install(installation_cycle=0)
    after = engines.take(life[1])
    assert decode_record(before.telemetry).installation_id is None
    assert decode_record(after.telemetry).installation_id == decode_record(after.prediction).installation_id == "i-1"


def test_an_engine_installed_new_is_judged_as_if_nobody_had_said_so(open_engines, centre, life):
    expected = predictions(open_engines(), life[:40])
    engines = open_engines()
    said = predictions(engines, life[:10])
    centre.install(installation_cycle=0)
    said += predictions(engines, life[10:40])
    assert [one.rul_cycles for one in said] == [one.rul_cycles for one in expected]


def test_an_engine_that_comes_from_elsewhere_is_judged_as_if_it_had_been_here_all_along(open_engines, centre, life):
    whole = predictions(open_engines(), life)[150:]
    centre.install(installation_cycle=150, seed=seed_of(life[:150]))
    moved = predictions(open_engines(), from_cycle_1(life[150:]))
    assert [one.cycle for one in moved] == list(range(1, 21))
    for here, there in zip(moved, whole, strict=True):
        assert here.flags == there.flags == {}
        assert np.abs(tensor(here) - tensor(there)).max() <= 1
        assert here.window.last_cycle == there.window.last_cycle


def test_without_its_rows_it_is_one_that_starts_late_at_its_age(open_engines, centre, life):
    centre.install(installation_cycle=150)
    (first, *_) = predictions(open_engines(), from_cycle_1(life[150:]))
    assert first.flags == {"cycle": [SHORT_LATE_START]}
    assert first.window.first_cycle == 151


def test_an_age_that_nobody_knows_is_withheld_and_its_first_rows_are_no_baseline(open_engines, centre, life):
    centre.install()
    *_, last = predictions(open_engines(), life[:60])
    assert last.flags == {"cycle": [LATE_START, UNKNOWN_AGE]}


def test_an_age_that_somebody_tells_later_counts_from_then_on(open_engines, centre, life):
    expected = predictions(open_engines(), life[:60])[-1]
    centre.install()
    engines = open_engines()
    predictions(engines, life[:59])
    centre.install(installation_cycle=0)
    [last] = predictions(engines, life[59:60])
    assert (last.flags, last.input) == (expected.flags, expected.input)


def test_an_age_that_turns_out_greater_makes_no_baseline_of_its_first_rows(open_engines, centre, life):
    centre.install(installation_cycle=0)
    engines = open_engines()
    predictions(engines, life[:59])
    centre.install(installation_cycle=100)
    [last] = predictions(engines, life[59:60])
    assert last.flags == {"cycle": [LATE_START]}
    assert last.window.last_cycle == 160


def test_an_overhaul_resets_age_and_baseline_from_the_cycle_after_it(open_engines, centre, life):
    engines = open_engines()
    centre.install(installation_cycle=0)
    predictions(engines, life[:120])
    centre.install(installation_cycle=0, counted_from=122, maintenance_epoch=1)
    *before, after = predictions(engines, life[120:123])
    assert [one.window.last_cycle for one in before] == [121, 122]
    assert (after.window.last_cycle, after.window.rows, after.cycle) == (1, 1, 123)
    assert after.installation_id == "i-1"


def test_rows_from_before_a_new_installation_still_belong_to_the_one_before(open_engines, centre, life):
    engines = open_engines()
    centre.install(installation_cycle=0)
    predictions(engines, life[:10])
    centre.install("i-2", installed_from=life[12].observed_at, installation_cycle=12)
    late = predictions(engines, life[10:12])
    assert [(one.installation_id, one.window.rows) for one in late] == [("i-1", 11), ("i-1", 12)]
    [first] = predictions(engines, from_cycle_1(life[12:13]))
    assert (first.installation_id, first.cycle, first.window.last_cycle) == ("i-2", 1, 13)


def test_where_the_clock_was_never_set_the_centres_word_counts_at_once(open_engines, centre, life):
    unset = datetime(1970, 1, 1, tzinfo=UTC)
    engines = open_engines(now=unset)
    centre.install(installation_cycle=0)
    predictions(engines, life[:1])
    centre.install("i-2", installed_from=NOW, installation_cycle=1)
    [row] = predictions(engines, [replace(life[0], observed_at=unset)])
    assert row.installation_id == "i-2"


def test_p1_a_restart_goes_on_where_it_stood(open_engines, centre, life):
    engines = open_engines()
    centre.install(installation_cycle=150, seed=seed_of(life[:150]))
    rows = from_cycle_1(life[150:])
    predictions(engines, rows[:5])
    expected = engines.stored(["E-1"])
    again = open_engines(expected)
    assert predictions(again, rows[5:6])[0].input == predictions(engines, rows[5:6])[0].input
    centre.says = None  # nor does it need the centre's word for that
    assert predictions(open_engines(expected), rows[5:6])[0].window.last_cycle == 156


def test_a_row_that_the_source_counts_wrongly_is_refused_with_what_it_says(open_engines, centre, life):
    engines = open_engines()
    centre.install(installation_cycle=150)
    engines.take(replace(life[0], cycle=7))
    for cycle in (0, -5):
        with pytest.raises(RowError, match=f"cycle {cycle} is below 1"):
            engines.take(replace(life[0], cycle=cycle))
    with pytest.raises(RowError, match=r"cycle 157 cannot follow cycle 157.*150 more than the source says"):
        engines.take(replace(life[0], cycle=7))


def test_rows_of_a_seed_that_cannot_be_used_are_left_out(open_engines, centre, life):
    rows = [(1, [1.0]), (1, [2.0]), (2, [None])]
    centre.install(installation_cycle=2, seed=Seed(channels=["T24"], rows=rows))
    telemetry = decode_record(open_engines().take(replace(life[0], cycle=1)).telemetry)
    assert telemetry.flags != {}
    assert WINDOW_GAP not in telemetry.flags.get("cycle", [])


def test_a_footing_that_is_damaged_is_as_if_the_centre_had_said_nothing():
    assert Footing.from_bytes(b"\xff{") == Footing.from_bytes(b"") == Footing()
