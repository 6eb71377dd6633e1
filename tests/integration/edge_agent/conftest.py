"""An agent's delivery side over a real outbox; the broker, the centre and the clocks are played by the test."""

import asyncio
import base64
import signal
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.budget import Budget
from edge_agent.delivery import Delivery
from edge_agent.mqtt import Received
from edge_agent.outbox import Outbox
from edge_agent.settings import AgentSettings
from shared import messages as m

NOW = datetime(2026, 1, 2, tzinfo=UTC)
OWN = "spoolwatch/v1/hamburg/gw-1"
CENTRE = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = base64.b64encode(CENTRE.public_key().public_bytes_raw()).decode()


@pytest.fixture(autouse=True)
def _broken_pipes_end_no_test_run():
    """``status`` lets them end its process, which here is that of the tests."""
    before = signal.getsignal(signal.SIGPIPE)
    yield
    signal.signal(signal.SIGPIPE, before)


class FakePublication:
    def wait_for_publish(self, timeout):
        pass


class FakeLink:
    def __init__(self):
        self.events = asyncio.Queue()
        self.published = []
        self.given_up = []
        self.sent_bytes, self.received_bytes = 700, 50

    def publish(self, message):
        self.published.append(message)
        return FakePublication()

    def reconnect(self, reason):
        self.given_up.append(reason)

    def envelopes(self, kind):
        return [m.decode_envelope(sent.payload) for sent in self.published if sent.topic == f"{OWN}/{kind}"]

    def seqs(self, kind):
        return [[seq for seq, _ in envelope.records] for envelope in self.envelopes(kind)]

    def statuses(self):
        return [m.decode(sent.payload, m.Status) for sent in self.published if sent.topic == f"{OWN}/status"]

    def events_told(self):
        return [status.event for status in self.statuses()]

    def replies(self):
        return [m.decode(sent.payload, m.Reply) for sent in self.published if sent.topic == f"{OWN}/reply"]


class FakePlant:
    """The sensing side: remembers what it was asked for; ``trouble`` is raised."""

    def __init__(self):
        self.predicted, self.restarts, self.trouble = [], 0, None

    def predict(self, serial, request_id):
        if self.trouble is not None:
            raise self.trouble
        self.predicted.append((serial, request_id))

    def restart_source(self):
        self.restarts += 1


class Box:
    """An agent's delivery side, driven event by event."""

    KEY = KEY

    def __init__(self, folder, *, centre_key=None, **delivery):
        self.settings = AgentSettings(
            site="hamburg",
            gateway="gw-1",
            engines=[{"serial": "E-1"}],
            source={"kind": "file", "path": "rows.txt"},
            delivery=delivery,
            centre_key=centre_key,
        )
        self.now_s = NOW.timestamp()
        self.clock_s = 1000.0
        self.folder = folder
        self.outbox = Outbox(folder / "outbox.db")
        self.plant = FakePlant()
        self.start()

    def start(self, link=None, monotonic_s=None):
        """As after a restart of the agent."""
        self.link = link or FakeLink()
        self.delivery = Delivery(
            self.settings,
            self.outbox,
            self.link,
            status=self.status,
            budget=Budget(
                self.settings.delivery.daily_budget_bytes,
                self.folder,
                traffic_bytes=lambda: self.link.sent_bytes + self.link.received_bytes,
                now_s=lambda: self.now_s,
                monotonic_s=lambda: self.clock_s,
            ),
            progress=lambda: None,
            now_s=lambda: self.now_s,
            monotonic_s=monotonic_s or (lambda: self.clock_s),
            plant=self.plant,
        )

    def status(self, event):
        return m.Status(
            event=event,
            session=m.Session(counter=1, boot_nonce="n"),
            stream_id=self.outbox.stream_id,
            next_seq=self.outbox.next_seq,
            sent_at=NOW,
            heartbeat_interval_s=15,
            agent_version="0",
            engines=["E-1"],
            source=m.SourceStatus(kind="file", state="reading"),
            outbox=self.outbox.status(),
        )

    def turn(self, *events, after_s=0.0):
        """One turn of the loop: time passes, events are taken, and what is due is done."""
        self.clock_s += after_s
        self.now_s += after_s
        for event in events:
            self.delivery.take(event)
        self.delivery.keep_time()
        self.delivery.send_waiting()

    def ack(self, **fields):
        message = m.Ack(**({"stream_id": self.outbox.stream_id} | fields))
        return Received(f"{OWN}/ack", m.encode(message), False)

    def resend(self, *ranges, stream_id=None, epoch="e", **changes):
        stream_id = stream_id or self.outbox.stream_id
        return self.command(m.Resend(stream_id=stream_id, ranges=list(ranges), store_epoch=epoch), **changes)

    def command(self, order, key=CENTRE, retained=False, v=1, **changes):
        now = datetime.fromtimestamp(self.now_s, UTC)
        fields = {
            "command_id": "c-1",
            "site": "hamburg",
            "gateway": "gw-1",
            "issued_at": now,
            "expires_at": now + timedelta(hours=1),
            "order": order,
        }
        body = m.encode(m.Command(**(fields | changes)))
        payload = m.encode(m.SignedCommand(v=v, command=body, signature=key.sign(body)))
        return Received(f"{OWN}/command", payload, retained)

    def centre(self, accepting=True, replica="a", epoch="e", *, sent_at=NOW, retained=True):
        status = m.CentreStatus(replica=replica, accepting=accepting, store_epoch=epoch, sent_at=sent_at)
        return Received(f"spoolwatch/v1/centre/{replica}/status", m.encode(status), retained)


@pytest.fixture
def make_box(tmp_path):
    boxes = []

    def make(folder=tmp_path, **settings):
        boxes.append(Box(folder, **settings))
        return boxes[-1]

    yield make
    for box in boxes:
        box.outbox.close()


@pytest.fixture
def make_keyed_box(make_box):
    """A box that obeys commands."""
    return lambda: make_box(centre_key=KEY)


@pytest.fixture(scope="session")
def box_type():
    """For property-based tests, which need a new one for each example."""
    return Box
