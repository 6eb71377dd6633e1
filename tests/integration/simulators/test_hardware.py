"""What beside the servers makes up a play of hardware: its line, its truth, the settings for an agent."""

import socket
from contextlib import closing
from datetime import UTC, datetime

import pytest

from edge_agent.checks import check
from edge_agent.settings import AgentSettings
from shared.errors import SpoolwatchError
from shared.settings import load
from simulators.cli import main
from simulators.hardware.agent_settings import write_settings
from simulators.hardware.engine import EngineHardware, HardwareOptions
from simulators.hardware.faults import LinkFault
from simulators.hardware.line import Line
from simulators.hardware.truth import HardwareTruth, LineTruth, read_hardware_truth

NOW = datetime(2026, 1, 2, tzinfo=UTC)
TIMEOUT_S = 5.0


@pytest.mark.parametrize("protocol", ["modbus", "opcua", "mqtt", "tcp"])
def test_an_agent_accepts_the_settings_that_are_written_for_it(tmp_path, protocol):
    engines = [EngineHardware(unit, f"E-0{unit}", HardwareOptions()) for unit in (1, 2)]
    settings = load(AgentSettings, write_settings(tmp_path, protocol, engines, 5020, 20.0))
    assert [(engine.serial, engine.unit) for engine in settings.engines] == [("E-01", 1), ("E-02", 2)]
    assert settings.limits["T30"].stuck_samples
    assert any(line.startswith("source") for line in check(settings))


def test_a_line_follows_its_schedule():
    faults = [
        LinkFault(kind="refused", from_s=1, to_s=2),
        LinkFault(kind="cut", from_s=3, to_s=4),
        LinkFault(kind="silent", from_s=5, to_s=6),
    ]
    with socket.create_server(("127.0.0.1", 0)) as server, Line(server.getsockname()[1], 0, faults) as line:
        server.settimeout(TIMEOUT_S)

        def answer():
            """What comes back over a new connection on which both ends say something."""
            with socket.create_connection(("127.0.0.1", line.port), TIMEOUT_S) as near:
                far, _ = server.accept()
                with closing(far):
                    far.sendall(b"sample")
                    near.settimeout(0.2)
                    return near.recv(10)

        assert (line.follow(0.5), line.state, answer()) == (False, "good", b"sample")
        assert (line.follow(1.5), line.follow(1.6), line.state) == (True, False, "refused")
        with pytest.raises(ConnectionRefusedError):
            answer()
        assert (line.follow(2.5), line.state, answer()) == (True, "good", b"sample")
        line.follow(3.5)
        with socket.create_connection(("127.0.0.1", line.port), TIMEOUT_S) as near:
            assert near.recv(10) == b""
        assert (line.follow(4.5), answer()) == (True, b"sample")
        line.follow(5.5)
        with pytest.raises(TimeoutError):
            answer()
        assert (line.follow(6.5), answer()) == (True, b"sample")


def test_the_truth_is_read_as_it_was_told(tmp_path):
    path = tmp_path / "truth.jsonl"
    cycle = EngineHardware(1, "E-01", HardwareOptions(fault_rate=1.0)).truth(1, 60, NOW)
    told = [cycle, LineTruth(state="cut", at=NOW)]
    with HardwareTruth(path) as truth:
        for one in told:
            truth.append([one])
    assert read_hardware_truth(path) == told
    path.write_text("{}\n")
    with pytest.raises(SpoolwatchError, match="line 1 is damaged"):
        read_hardware_truth(path)


def test_a_port_that_is_taken_is_named(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match="1"):
            main(["hardware", "--protocol", "tcp", "--port", str(port), "--data-dir", str(tmp_path)])
    assert f"port {port}" in capsys.readouterr().err


def test_without_a_broker_mqtt_hardware_says_so(tmp_path, capsys):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["hardware", "--protocol", "mqtt", "--broker-port", str(port), "--data-dir", str(tmp_path)]
    with pytest.raises(SystemExit, match="1"):
        main(arguments)
    assert "--broker-port" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--speed", "0"], ["--flight-s", "5"], ["--fault-rate", "2"], ["--engines", "300"]])
def test_a_wrong_option_is_named(capsys, wrong):
    with pytest.raises(SystemExit, match="2"):
        main(["hardware", "--protocol", "tcp", *wrong])
    assert wrong[0] in capsys.readouterr().err
