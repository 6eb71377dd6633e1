"""Real receivers on loopback: one of webhooks, one of mail, and senders over a real store."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from aggregator.access.sealing import Seal
from aggregator.fleet.notifying import Wishes
from aggregator.notify.courier import Courier
from aggregator.notify.sender import Sender
from aggregator.store.receivers import NewReceiver, add_receiver

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


def is_signed(headers, body, secret):
    """As a receiver checks a signature that has read the Standard Webhooks specification."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    return headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


@pytest.fixture
def webhooks():
    receiver = WebhookReceiver()
    yield receiver
    receiver.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request):
    return request.param


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
