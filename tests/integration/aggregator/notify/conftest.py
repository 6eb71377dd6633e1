"""Real receivers on loopback: one of webhooks, one of mail, and senders over a real store."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiosmtpd.smtp import SMTP
from sqlmodel import select

from aggregator.access.sealing import Seal
from aggregator.fleet.notifying import Wishes
from aggregator.notify.courier import Courier
from aggregator.notify.sender import Sender
from aggregator.store.receivers import NewReceiver, add_receiver
from aggregator.store.tables import Notification, Receiver

KEY = bytes(range(32))
SOURCE = "urn:uuid:11111111-1111-4111-8111-111111111111"


class WebhookReceiver:
    """An HTTP server that keeps what is posted to it and answers as it is told."""

    def __init__(self):
        self.got, self.answers = [], []
        self.on_post = lambda: None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), body))
                receiver.on_post()
                status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks/7f3a"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}).start()

    def events(self):
        return [json.loads(body) for _, body in self.got]

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="session")
def is_signed():
    """Checks a signature as a receiver does that has read the Standard Webhooks specification."""

    def check(headers, body, secret):
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
        return headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()

    return check


@pytest.fixture
def webhooks():
    receiver = WebhookReceiver()
    yield receiver
    receiver.close()


class Mailbox:
    """What a mail server does with what it gets: keeps it, or refuses it."""

    def __init__(self):
        self.got, self.refuses = [], False

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 (as aiosmtpd calls it)
        if self.refuses:
            return "554 5.7.1 no mail from machines"
        self.got.append((envelope, message_from_bytes(envelope.content, policy=default)))
        return "250 taken"


@pytest.fixture
def mailbox():
    return Mailbox()


@pytest.fixture
async def mail_url(mailbox):
    """A real SMTP server, as Apprise writes it."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mailbox, hostname="mail.example.org", loop=loop), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"mailto://{host}:{port}?mode=insecure&from=spoolwatch@example.org&to=team@example.org"
    server.close()
    await server.wait_closed()


@pytest.fixture
def told(store):
    """State, failed attempts and error of every notification."""

    def read():
        with store.session() as session:
            rows = session.exec(select(Notification).order_by(Notification.id))
            return [(row.state, row.attempts, row.error) for row in rows]

    return read


@pytest.fixture
def lately(store):
    """How the only receiver has answered lately."""

    def read():
        with store.session() as session:
            return session.exec(select(Receiver)).one()

    return read


@pytest.fixture
def seal_key():
    return KEY


@pytest.fixture
def courier(clock):
    return Courier(Seal(KEY), SOURCE, "https://spoolwatch.example.org", clock)


@pytest.fixture
def add(store, courier, clock):
    """Adds a receiver; gives its id and secret."""

    async def make(name, url, kind="cloudevents", site="", **wishes):
        drawn = await courier.address(name, kind, url)
        new = NewReceiver(name, site, drawn.address, Wishes(**wishes))
        return await asyncio.to_thread(add_receiver, store, new, clock()), drawn.secret

    return make


@pytest.fixture
def sender(store, courier, clock):
    return Sender(store, courier, clock)


@pytest.fixture
def send(sender):
    """Decide and send what is due by the clock, as one round of the loop does."""

    async def do():
        for receiver_id in await asyncio.to_thread(sender.look):
            await sender.serve(receiver_id)

    return do


@pytest.fixture
def wear_out(recorder):
    """Makes engines raise two alarms each: urgent (rul-critical) and medium (rul-low)."""

    def make(*serials, q50=10.0, **place):
        for serial in serials:
            recorder.engine(serial, **place)
            recorder.send(*(recorder.prediction(serial, cycle, q50=q50) for cycle in (2, 3, 4)), **place)

    return make
