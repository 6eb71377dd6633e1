import math
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from edge_agent.opcua_settings import OpcUaSource
from edge_agent.sources.opcua import Change, Moments

NOW = datetime(2026, 1, 2, tzinfo=UTC)
NODES = {"channels": {"T24": "ns=2;s={engine}.T24"}}
SECURE = {"security": "Basic256Sha256", "certificate": "a", "private_key": "b", "server_certificate": "c"}


def change(channel, value, second=0, engine="E-1"):
    return Change(engine, channel, NOW + timedelta(seconds=second), value)


def told(samples):
    return [(sample.engine, (sample.observed_at - NOW).seconds, sample.cycle, sample.channels) for sample in samples]


def test_changes_of_one_moment_are_one_sample_once_the_next_moment_comes():
    moments = Moments()
    assert moments.take([change("", 3), change("T24", 1.0)]) == []
    assert moments.take([change("T30", 2.0)]) == []
    assert told(moments.take([change("T24", 1.5, 1)])) == [("E-1", 0, 3, {"T24": 1.0, "T30": 2.0})]
    assert told(moments.close()) == [("E-1", 1, 3, {"T24": 1.5, "T30": 2.0})]
    assert moments.close() == []


def test_what_is_not_told_is_as_it_was_and_what_has_no_value_is_nan():
    moments = Moments()
    moments.take([change("T24", 1.0), change("T30", 2.0), change("T24", math.nan, 1)])
    (sample,) = moments.close()
    assert math.isnan(sample.channels["T24"])
    assert sample.channels["T30"] == 2.0


def test_changes_that_come_out_of_order_are_put_in_order():
    moments = Moments()
    samples = moments.take([change("T24", 2.0, 2), change("T24", 1.0, 1), change("T30", 3.0, 1)])
    assert told(samples) == [("E-1", 1, None, {"T24": 1.0, "T30": 3.0})]


def test_engines_have_moments_of_their_own():
    moments = Moments()
    moments.take([change("T24", 1.0), change("T24", 5.0, engine="E-2")])
    assert told(moments.take([change("T24", 2.0, 1)])) == [("E-1", 0, None, {"T24": 1.0})]


def test_a_new_cycle_alone_is_no_sample():
    moments = Moments()
    moments.take([change("T24", 1.0)])
    assert told(moments.take([change("", 4, 1), change("T24", 2.0, 2)])) == [("E-1", 0, None, {"T24": 1.0})]
    assert told(moments.close()) == [("E-1", 2, 4, {"T24": 2.0})]


def test_a_clock_that_is_set_back_closes_the_moment():
    moments = Moments()
    moments.take([change("T24", 1.0, 60)])
    assert told(moments.take([change("T24", 2.0)])) == [("E-1", 60, None, {"T24": 1.0})]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"url": "opc.tcp://10.0.0.5:4840"}, "security: name a policy"),
        ({"url": "http://127.0.0.1"}, "opc.tcp"),
        ({"url": "opc.tcp://user:secret@127.0.0.1"}, "settings of their own"),
        ({"url": "opc.tcp://10.0.0.5:4840", "security": "Basic256Sha256"}, "all three"),
        ({"url": "opc.tcp://127.0.0.1", "certificate": "cert.der"}, "all three"),
        ({"url": "opc.tcp://127.0.0.1", "password_file": "secret"}, "belongs to a username"),
        ({"url": "opc.tcp://10.0.0.5:4840", "security": "none", "username": "anna"}, "only under a security policy"),
    ],
)
def test_an_unsafe_connection_must_be_meant(options, named):
    with pytest.raises(ValidationError, match=named):
        OpcUaSource(nodes=NODES, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"url": "opc.tcp://127.0.0.1:4840", "username": "anna"},
        {"url": "opc.tcp://10.0.0.5:4840", "security": "none"},
        {"url": "opc.tcp://10.0.0.5:4840", "username": "anna"} | SECURE,
    ],
)
def test_a_safe_connection_or_one_that_is_meant_is_let_through(options):
    OpcUaSource(nodes=NODES, **options)


def test_a_placeholder_that_nobody_fills_in_is_named():
    with pytest.raises(ValidationError, match=r"\{serial\}.*only \{engine\} and \{unit\}"):
        OpcUaSource(url="opc.tcp://127.0.0.1", nodes={"channels": {"T24": "ns=2;s={serial}.T24"}})
