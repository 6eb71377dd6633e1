"""What the centre says of the engines at a gateway: believed only if its key has signed it, and never set back."""

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.desired import Desired
from edge_agent.mqtt import Connected, Received
from edge_agent.outbox import Outbox, OutboxError
from shared import messages as m
from shared.desired import DesiredEngine, EngineDesired, SignedEngineDesired
from shared.errors import MessageError

TOPIC = "spoolwatch/v1/hamburg/gw-1/engine-desired"
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CENTRE = Ed25519PrivateKey.from_private_bytes(bytes(32))  # whose public half the boxes pin


def place(installation_id="i-1", **fields):
    since = datetime(2026, 1, 1, tzinfo=UTC)
    return DesiredEngine(
        **{"serial": "E-1", "position": "1", "installation_id": installation_id, "installed_from": since} | fields
    )


def spell(ordinal, *engines, key=CENTRE, v=1, **changes):
    fields = {"site": "hamburg", "gateway": "gw-1", "ordinal": ordinal, "engines": list(engines)}
    body = m.encode(EngineDesired(**(fields | changes)))
    return m.encode(SignedEngineDesired(v=v, desired=body, signature=key.sign(body)))


@pytest.fixture
def desired(make_keyed_box):
    box = make_keyed_box()
    return Desired(box.settings, box.outbox)


def test_it_reaches_whoever_asks_by_its_topic(make_keyed_box, capsys):
    box = make_keyed_box()
    box.turn(Connected(), Received(TOPIC, spell(1, place()), True))
    assert box.delivery._desired.of("E-1").installation_id == "i-1"
    assert box.delivery._desired.of("E-2") is None
    assert "engines_desired" in capsys.readouterr().out


def test_it_is_known_again_after_a_restart_without_a_centre(make_keyed_box):
    box = make_keyed_box()
    Desired(box.settings, box.outbox).take(spell(3, place("i-3")))
    box.outbox.close()
    box.outbox = Outbox(box.outbox._lasting._path)
    again = Desired(box.settings, box.outbox)
    assert again.of("E-1").installation_id == "i-3"
    with pytest.raises(MessageError, match="older"):
        again.take(spell(2, place("i-2")))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (spell(9, place("forged"), key=STRANGER), "signature"),
        (spell(9, place("forged"), gateway="gw-2"), "meant for gateway gw-2 at hamburg"),
        (spell(9, place("forged"), site="kiel"), "meant for gateway gw-1 at kiel"),
        (spell(4, place("replayed")), "older"),
        (spell(9, place("forged"), v=2), "version 2"),
        (m.encode(SignedEngineDesired(desired=b"{}", signature=CENTRE.sign(b"{}"))), "missing required field"),
        (b"not JSON", "malformed"),
    ],
)
def test_p8_what_is_forged_replayed_or_anothers_is_refused_and_logged(make_keyed_box, capsys, payload, reason):
    box = make_keyed_box()
    box.turn(Connected(), Received(TOPIC, spell(5, place()), True))
    box.turn(Received(TOPIC, payload, True))
    assert box.delivery._desired.of("E-1").installation_id == "i-1"
    assert box.outbox.desired() == (5, spell(5, place()))
    logged = capsys.readouterr().out
    assert "message_not_used" in logged
    assert reason in logged


def test_p8_a_signed_command_is_no_statement_about_engines(make_keyed_box):
    box = make_keyed_box()
    command = box.resend((1, 2)).payload
    box.turn(Connected(), Received(TOPIC, command, True))
    assert box.outbox.desired() == (0, b"")


def test_p8_without_a_key_nothing_is_believed(make_box, capsys):
    box = make_box()
    box.turn(Connected(), Received(TOPIC, spell(1, place()), True))
    assert box.delivery._desired.of("E-1") is None
    assert "centre_key" in capsys.readouterr().out


@pytest.mark.parametrize(
    "others", [spell(7, place(), key=STRANGER), spell(7, place(), gateway="gw-2"), spell(7, place(), site="kiel")]
)
@pytest.mark.parametrize("ordinal", [3, 7, 9])
def test_p8_what_another_key_or_name_was_told_is_forgotten_with_it(make_keyed_box, capsys, others, ordinal):
    box = make_keyed_box()
    box.outbox.keep_desired(7, others)
    desired = Desired(box.settings, box.outbox)
    assert desired.of("E-1") is None
    assert "engines_desired_forgotten" in capsys.readouterr().out
    desired.take(spell(ordinal, place("own")))
    assert desired.of("E-1").installation_id == "own"
    assert Desired(box.settings, box.outbox).of("E-1").installation_id == "own"


def test_the_same_again_is_no_news_and_the_next_replaces_all_of_it(desired, capsys):
    for _ in range(2):
        desired.take(spell(1, place(), place(serial="E-2")))
    assert capsys.readouterr().out.count("engines_desired ") == 1
    desired.take(spell(2, place(serial="E-2")))
    assert desired.of("E-1") is None
    assert "engines_not_installed_here" in capsys.readouterr().out


def test_on_a_full_disk_it_holds_at_once_and_is_kept_when_it_comes_again(desired, monkeypatch):
    outbox = desired._outbox

    def full(*_):
        raise OutboxError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(outbox, "keep_desired", full)
        with pytest.raises(OutboxError):
            desired.take(spell(1, place()))
    assert desired.of("E-1").installation_id == "i-1"
    desired.take(spell(1, place()))
    assert outbox.desired()[0] == 1
