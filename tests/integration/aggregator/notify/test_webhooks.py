"""Machines are told by signed CloudEvents, posted to a real HTTP server."""

import json
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from aggregator.access.authority import Authority
from aggregator.api.schemas.receivers import ChangeEvent
from aggregator.fleet.work_orders import Conclusion, Outcome
from aggregator.notify import cloudevents
from aggregator.notify.cloudevents import check_url
from aggregator.notify.outcome import AddressError
from aggregator.store.receivers import reseal_receiver
from aggregator.store.tables import Receiver
from aggregator.store.work_orders import NewWorkOrder, Working, open_work_order


async def test_a_raised_alarm_arrives_as_a_signed_cloudevent(webhooks, add, send, wear_out, clock, is_signed):
    _, secret = await add("cmms", webhooks.url)
    wear_out("ESN-1001")
    await send()
    urgent, medium = webhooks.events()
    for event in (urgent, medium):
        assert ChangeEvent.model_validate(event, extra="forbid").model_dump(mode="json").keys() == event.keys()
    assert [urgent["data"]["alarm"]["priority"], medium["data"]["alarm"]["priority"]] == ["urgent", "medium"]
    assert (urgent["specversion"], urgent["type"]) == ("1.0", "spoolwatch.alarm.raised")
    assert urgent["source"].startswith("urn:uuid:")
    assert (urgent["subject"], urgent["time"]) == ("engines/ESN-1001", clock().isoformat())
    assert urgent["id"] != medium["id"]
    for (headers, body), event in zip(webhooks.got, webhooks.events(), strict=True):
        assert headers["Content-Type"].startswith("application/cloudevents+json")
        assert headers["webhook-id"] == event["id"]
        assert headers["webhook-timestamp"] == str(int(clock().timestamp()))
        assert is_signed(headers, body, secret)
        assert not is_signed(headers, body + b" ", secret)
    await send()
    assert len(webhooks.got) == 2


async def test_while_the_secret_is_changed_each_event_is_signed_by_both(
    webhooks, add, send, wear_out, courier, store, clock
):
    receiver_id, old = await add("cmms", webhooks.url)
    with store.session() as session:
        drawn = courier.with_new_secret(session.get_one(Receiver, receiver_id), timedelta(hours=1))
    reseal_receiver(store, receiver_id, lambda _: drawn.address.sealed, clock())
    wear_out("ESN-1001")
    await send()
    for headers, body in webhooks.got:
        at_s = int(headers["webhook-timestamp"])
        expected = [cloudevents.sign(one, headers["webhook-id"], at_s, body) for one in (drawn.secret, old)]
        assert headers["webhook-signature"].split(" ") == expected


async def test_what_becomes_of_work_arrives_for_a_cmms_to_take_over(webhooks, add, send, store, recorder, clock):
    await add("cmms", webhooks.url, events=("work_order.opened", "work_order.done"))
    recorder.engine("ESN-1001")
    order = open_work_order(store, NewWorkOrder("ESN-1001", (), {"reason": "noise"}), clock())
    working = Working(store, clock())
    working.start(order)
    working.finish(order, Conclusion(Outcome.REPLACED, clock()), "blade 7")
    await send()
    opened, done = webhooks.events()
    for event in (opened, done):
        assert ChangeEvent.model_validate(event, extra="forbid").model_dump(mode="json").keys() == event.keys()
    assert (opened["type"], done["type"]) == ("spoolwatch.work_order.opened", "spoolwatch.work_order.done")
    assert (done["subject"], done["data"]["change"]["note"]) == ("engines/ESN-1001", "replaced: blade 7")
    assert (done["data"]["work_order"]["id"], done["data"]["work_order"]["outcome"]) == (order, "replaced")


@pytest.mark.parametrize(
    ("status", "headers", "state", "pause_s"),
    [
        (500, {}, "waiting", (0, 5)),
        (429, {"Retry-After": "120"}, "waiting", (120, 120)),
        (503, {"Retry-After": "Sat, 21 Nov 2026 12:01:00 GMT"}, "waiting", (60, 60)),
        (503, {"Retry-After": "soon"}, "waiting", (0, 5)),
        (408, {}, "waiting", (0, 5)),
        (404, {}, "dead", None),
        (422, {}, "dead", None),
        (307, {"Location": "http://127.0.0.1:1/"}, "dead", None),
    ],
)
async def test_what_is_answered_decides_whether_it_is_tried_again(
    webhooks, add, send, wear_out, clock, told, lately, status, headers, state, pause_s
):
    await add("cmms", webhooks.url, priority="urgent")
    wear_out("ESN-1001")
    webhooks.answers = [(status, headers)]
    await send()
    ((found, attempts, error),) = told()
    assert (found, len(webhooks.got)) == (state, 1)
    assert f"answered {status}" in error
    assert lately().problem == error
    if pause_s is None:
        assert lately().paused_until is None
        return
    shortest, longest = pause_s
    assert attempts == 1
    assert shortest <= (lately().paused_until - clock()).total_seconds() <= longest
    clock.advance(longest)
    await send()
    assert told() == [("sent", 1, None)]
    first, second = (json.loads(body)["id"] for _, body in webhooks.got)
    assert first == second
    assert lately().problem is None


async def test_nothing_that_went_wrong_is_kept_secret_and_no_secret_told(add, send, wear_out, clock, told, lately):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    _, secret = await add("cmms", f"http://127.0.0.1:{port}/hooks/7f3a", priority="urgent")
    wear_out("ESN-1001")
    with capture_logs() as lines:
        await send()
    assert told() == [("waiting", 1, "the connection was refused: nobody listens there")]
    (line,) = [line for line in lines if line["event"] == "notification_failed"]
    assert (line["receiver"], line["notifications"]) == ("cmms", 1)
    assert "7f3a" not in str(lines)
    assert secret not in str(lines)
    assert lately().via == f"http://127.0.0.1:{port}"


@contextmanager
def _serving(answer):
    """A server that does one thing with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(60)


async def test_a_certificate_that_nobody_trusts_is_not_taken(courier, clock, tmp_path):
    (tmp_path / "server.pem").write_bytes(Authority.draw(clock()).with_key())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")

    def shake_hands(connection):
        with suppress(OSError):
            context.wrap_socket(connection, server_side=True).close()

    with _serving(shake_hands) as port:
        told = cloudevents.event("1", "urn:x", "test", "receivers/1", clock(), {})
        outcome = await cloudevents.post(f"https://127.0.0.1:{port}/", [cloudevents.draw_secret()], told, clock())
    assert outcome.state == "failed"
    assert outcome.words.startswith("its certificate is not trusted: ")


async def test_who_never_answers_is_not_waited_for(clock, monkeypatch):
    monkeypatch.setattr(cloudevents, "DEADLINE_S", 0.2)
    over = threading.Event()
    with _serving(lambda _: over.wait(60)) as port:
        told = cloudevents.event("1", "urn:x", "test", "receivers/1", clock(), {})
        outcome = await cloudevents.post(f"http://127.0.0.1:{port}/", [cloudevents.draw_secret()], told, clock())
        over.set()
    assert outcome == ("failed", "it did not answer within 0.2 s", None)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://cmms.example.org/", "use https"),
        ("https://me:secret@cmms.example.org/", "leave name and password out"),
        ("ftp://cmms.example.org/", "write the URL with its scheme and host"),
        ("cmms.example.org/hooks", "write the URL with its scheme and host"),
        ("https://cmms.example.org:99999/", "this is no URL"),
        ("https://[::1/", "this is no URL"),
    ],
)
def test_what_no_event_can_be_posted_to_is_refused(url, why):
    with pytest.raises(AddressError, match=why):
        check_url(url)
