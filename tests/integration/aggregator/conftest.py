"""A real SQLite store, filled the way ingest fills it, and a clock that the test sets."""

import shutil
from datetime import UTC, datetime, timedelta

import pytest

from aggregator.store.arrivals import Entry, EnvelopeArrival, MalformedArrival, StatusArrival
from aggregator.store.commit import commit
from aggregator.store.database import Store
from aggregator.store.registry import Registration, register_engine
from shared.messages import (
    ModelRef,
    OutboxStatus,
    Prediction,
    RulCycles,
    Session,
    SourceStatus,
    Status,
    Telemetry,
    Window,
    digest,
    encode,
)
from shared.topics import GatewayTopic

SITE = "hamburg"
MODEL = ModelRef(name="turbofan", version="1.0.0", sha256="ab" * 32)


class Clock:
    def __init__(self):
        self.at = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

    def __call__(self):
        return self.at

    def advance(self, seconds):
        self.at += timedelta(seconds=seconds)

    def in_(self, seconds):
        """The time that it will be then."""
        return self.at + timedelta(seconds=seconds)


class Recorder:
    """Commits what gateways would send, at the clock's time."""

    def __init__(self, store, clock):
        self.store, self.clock = store, clock
        self._next_seq = {}

    def register(self, serial, gateway="gw-1", site=SITE, position=None):
        register_engine(self.store, Registration(serial, site, gateway, position or serial), self.clock())

    def send(self, *records, gateway="gw-1", site=SITE):
        topic, received_at = GatewayTopic(site, gateway, "records"), self.clock()
        entries = []
        for record in records:
            body = encode(record)
            self._next_seq[gateway] = seq = self._next_seq.get(gateway, 0) + 1
            entries.append(Entry(seq, body, digest(body), topic, received_at, record))
        return commit(self.store, [EnvelopeArrival(topic, f"stream-{gateway}", entries, received_at)])

    def restart(self):
        """Number records from 1 again, as a gateway does that sends what it sent before."""
        self._next_seq.clear()

    def row(self, serial, cycle, channels=None, **fields):
        channels = {"T24": 640.0 + cycle, "P30": 553.0} if channels is None else channels
        return Telemetry(engine=serial, cycle=cycle, observed_at=self.clock(), channels=channels, **fields)

    def prediction(self, serial, cycle, q50=80.0, spread=20.0, model=MODEL, **fields):
        return Prediction(
            engine=serial,
            cycle=cycle,
            observed_at=self.clock(),
            predicted_at=self.clock(),
            rul_cycles=RulCycles(mean=q50 - 1, q05=max(0.0, q50 - spread), q50=q50, q95=q50 + spread),
            cap_cycles=125.0,
            model=model,
            runtime="tflite-runtime 2.14.0",
            window=Window(first_cycle=max(1, cycle - 29), last_cycle=cycle, rows=min(cycle, 30)),
            input=b"\x01\x7f\x80",
            **fields,
        )

    def engine(self, serial, cycle=1, q50=80.0, **place):
        """Register an engine and give it one row with its prediction."""
        self.register(serial, **place)
        place.pop("position", None)
        self.send(self.row(serial, cycle), self.prediction(serial, cycle, q50), **place)

    def status(self, event="heartbeat", gateway="gw-1", site=SITE, engines=(), source_state="reading", **more):
        status = Status(
            event=event,
            session=Session(counter=3, boot_nonce="n-3"),
            stream_id=f"stream-{gateway}",
            next_seq=self._next_seq.get(gateway, 0) + 1,
            sent_at=self.clock(),
            agent_version="0.1.0",
            engines=list(engines),
            source=SourceStatus(kind="file", state=source_state),
            outbox=OutboxStatus(unacked=7),
            **({"heartbeat_interval_s": 10.0} | more),
        )
        return commit(self.store, [StatusArrival(GatewayTopic(site, gateway, "status"), status, self.clock())])

    def garbage(self, body=b"\xff{", gateway="gw-1", site=SITE):
        topic = str(GatewayTopic(site, gateway, "records"))
        return commit(self.store, [MalformedArrival(topic, body, "not JSON", self.clock())])


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(new_store):
    return new_store("sqlite")


@pytest.fixture
def new_store(templates, tmp_path):
    """Makes migrated stores, which are copies: to migrate each anew would take a fifth of all tests' time."""
    made = []

    def make(dialect):
        made.append(Store(templates.copy(dialect, tmp_path / "store.db")))
        return made[-1]

    yield make
    for store in made:
        store.close()
        templates.drop(store)


@pytest.fixture(scope="session")
def templates(request, tmp_path_factory):
    return Templates(request, tmp_path_factory.mktemp("templates") / "store.db")


class Templates:
    """A migrated store of each dialect, made when the first copy is wanted."""

    def __init__(self, request, path):
        self._request, self._path = request, path
        self._database = None

    def copy(self, dialect, path):
        """The URL of a copy."""
        if dialect == "postgresql":
            server = self._request.getfixturevalue("postgresql_server")
            self._database = self._database or self._migrate(server.new_database()).database
            return server.new_database(self._database)
        if not self._path.exists():
            self._migrate(f"sqlite:///{self._path}")
        shutil.copy(self._path, path)
        return f"sqlite:///{path}"

    def drop(self, copy):
        """Give back what a copy takes, where it is not in the folder of its test."""
        if not copy.is_sqlite:
            self._request.getfixturevalue("postgresql_server").drop_database(copy.engine.url.database)

    def _migrate(self, url):
        store = Store(url)
        store.migrate()
        store.close()
        return store.engine.url


@pytest.fixture
def recorder(store, clock):
    return Recorder(store, clock)


@pytest.fixture(scope="session")
def recorder_of():
    """Makes recorders of stores that live longer than one test."""
    return Recorder
