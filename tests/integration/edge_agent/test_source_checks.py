"""What ``spoolwatch-agent check`` finds wrong with the map of a source before anything is connected."""

import pytest

from edge_agent.checks import check_source
from edge_agent.settings import AgentSettings
from shared.errors import SettingsError

COUNTER = {"address": 0}


def settings(source, **others):
    engines = [{"serial": "E-1"}]
    return AgentSettings(site="hamburg", gateway="gw-1", engines=engines, source=source, **others)


def modbus(channels, cycle=COUNTER):
    return {"kind": "modbus_tcp", "host": "10.0.0.5", "registers": {"cycle": cycle, "channels": channels}}


def opcua(**options):
    nodes = {"cycle": "ns=2;s=cycle", "channels": {"T24": "ns=2;s=T24"}}
    return {"kind": "opcua", "url": "opc.tcp://127.0.0.1:4840", "nodes": nodes} | options


@pytest.mark.parametrize(
    ("source", "named"),
    [
        (modbus({"T24": {"address": 1, "unit": "°C"}}), "T24: in °C, and the model wants °R"),
        (modbus({"T99": {"address": 1}}), "T99: the model has no such channel"),
        (modbus({"T24": {"address": 1}}, cycle=None), "source.registers.cycle: nothing tells one cycle"),
        (opcua(nodes={"channels": {"T24": "ns=2;s=T24"}}), "source.nodes.cycle: nothing tells one cycle"),
        (opcua(username="anna", password_file="/nowhere"), "/nowhere is no file"),
        (
            {"kind": "modbus_rtu", "device": "/nowhere", "registers": {"channels": {"T24": {"address": 1}}}},
            "/nowhere is no serial line",
        ),
        ({"kind": "serial", "device": "/nowhere"}, "/nowhere is no serial line.*dialout"),
    ],
)
def test_a_map_that_does_not_fit_the_model_is_named(source, named):
    with pytest.raises(SettingsError, match=named):
        check_source(settings(source))


@pytest.mark.parametrize(
    ("source", "others"),
    [
        (modbus({"T24": {"address": 1, "unit": "°R"}}), {}),
        (
            modbus({"T24": {"address": 1}, "flying": {"address": 9}}, cycle=None),
            {"cycle": {"by": "flag", "channel": "flying"}},
        ),
        (modbus({"T24": {"address": 1}}, cycle=None), {"cycle": {"by": "gap"}}),
        (opcua(), {}),
    ],
)
def test_a_map_that_fits_is_told_in_a_line(source, others):
    assert "channels mapped" in check_source(settings(source, **others))
