"""What people enter of overhauls reaches the model: real store, signature and model, without a broker between."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from aggregator.signing import open_command_key
from aggregator.store.database import Store
from aggregator.store.desired import messages_since, renew
from aggregator.store.overhauls import NewOverhaul, overhaul, undo_overhaul
from aggregator.store.registry import Registration, register_engine
from edge_agent.desired import Desired
from edge_agent.engines import Engines
from edge_agent.outbox import Outbox
from edge_agent.settings import AgentSettings
from shared.cmapss import CHANNELS
from shared.messages import decode_record
from shared.predictor import find_bundle, load_bundle
from shared.quality import LATE_START, SHORT_LATE_START
from shared.rows import SensorRow
from simulators.engine_model import SimulatedEngine

BEGAN = datetime(2026, 1, 2, tzinfo=UTC)
NOW = BEGAN + timedelta(days=30)
OVERHAULED_AFTER, TAKEN_BACK_AFTER, FLOWN = 60, 70, 105


@pytest.fixture(scope="module")
def predictor():
    return load_bundle(find_bundle("turbofan"))


@pytest.fixture(scope="module")
def life():
    rows = islice(SimulatedEngine("E-1", seed=4).rows(), FLOWN)
    return [
        SensorRow("E-1", cycle, BEGAN + timedelta(hours=cycle), dict(zip(CHANNELS, values, strict=True)))
        for cycle, values, _ in rows
    ]


class Link:
    """A centre at which engine E-1 is new, and an agent that hears it at once."""

    def __init__(self, folder, predictor):
        self.store = Store(f"sqlite:///{folder / 'store.db'}")
        self.store.migrate()
        register_engine(self.store, Registration("E-1", "hamburg", "gw-1", "1", installation_cycle=0), BEGAN)
        self._key = open_command_key(folder / "command.key")
        settings = AgentSettings(
            site="hamburg",
            gateway="gw-1",
            engines=[{"serial": "E-1"}],
            source={"kind": "file", "path": "rows.txt"},
            centre_key=self._key.public,
        )
        self.outbox = Outbox(folder / "outbox.db")
        self._desired = Desired(settings, self.outbox)
        self._engines = Engines(predictor, ["E-1"], lambda _: None, lambda: NOW, self._desired.of)
        self._tell()

    def overhaul(self):
        overhaul(self.store, NewOverhaul("E-1", BEGAN + timedelta(hours=OVERHAULED_AFTER), OVERHAULED_AFTER), NOW)
        self._tell()

    def take_back(self):
        undo_overhaul(self.store, "E-1", 1, NOW)
        self._tell()

    def fly(self, rows):
        return [decode_record(self._engines.take(row).prediction) for row in rows]

    def close(self):
        self.outbox.close()
        self.store.close()

    def _tell(self):
        assert renew(self.store, "epoch", NOW) == {}
        [message] = messages_since(self.store)
        self._desired.take(self._key.sign_desired(message.body))


@pytest.fixture
def make_link(tmp_path, predictor):
    made = []

    def make(name):
        folder = tmp_path / name
        folder.mkdir()
        made.append(Link(folder, predictor))
        return made[-1]

    yield make
    for link in made:
        link.close()


@pytest.fixture
def link(make_link):
    return make_link("own")


def test_one_that_is_taken_back_before_a_row_came_changes_nothing(link, make_link, life):
    expected = make_link("undisturbed").fly(life[: OVERHAULED_AFTER + 5])
    said = link.fly(life[:OVERHAULED_AFTER])
    link.overhaul()
    link.take_back()
    said += link.fly(life[OVERHAULED_AFTER : OVERHAULED_AFTER + 5])
    assert [(one.input, one.flags) for one in said] == [(one.input, one.flags) for one in expected]


def test_one_that_is_taken_back_gives_the_age_back_at_once_and_the_baseline_never(link, make_link, life):
    link.fly(life[:OVERHAULED_AFTER])
    link.overhaul()
    wrong = link.fly(life[OVERHAULED_AFTER:TAKEN_BACK_AFTER])
    link.take_back()
    right = link.fly(life[TAKEN_BACK_AFTER:])
    assert [one.window.last_cycle for one in wrong] == list(range(1, TAKEN_BACK_AFTER - OVERHAULED_AFTER + 1))
    assert [one.window.last_cycle for one in right] == list(range(TAKEN_BACK_AFTER + 1, FLOWN + 1))
    assert right[0].flags == {"cycle": [SHORT_LATE_START]}
    assert right[-1].flags == {"cycle": [LATE_START]}
    came_late = make_link("came late").fly(life[TAKEN_BACK_AFTER:])
    assert [one.rul_cycles for one in right] == [one.rul_cycles for one in came_late]
