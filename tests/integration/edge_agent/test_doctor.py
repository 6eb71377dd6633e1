"""What the doctor finds on boxes where one thing each is wrong, and that it finds nothing where all is well."""

import fcntl
import json
import re
import threading
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from edge_agent import cli, doctor
from edge_agent.outbox import Outbox
from edge_agent.settings import AgentSettings
from edge_agent.status import LOCK_FILE, LinkView, SourceGauge, StatusBoard
from shared import log
from shared.messages import ModelRef


class Centre(BaseHTTPRequestHandler):
    """Says what time it is, and no more."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


@contextmanager
def serving(handler):
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


OPCUA = {
    "kind": "opcua",
    "url": "opc.tcp://127.0.0.1:1/plc",
    "nodes": {"cycle": "ns=2;s=cycle", "channels": {"T24": "ns=2;s=T24"}},
}


@pytest.fixture
def examine(tmp_path, mosquitto):
    """What the doctor finds, by topic, with settings of which some are changed."""
    rows = tmp_path / "rows.txt"
    rows.touch()

    def examine(now=lambda: datetime.now(UTC), **changes):
        settings = {
            "site": "hamburg",
            "gateway": "gw-1",
            "data_dir": tmp_path / "state",
            "engines": [{"serial": "E-1"}],
            "source": {"kind": "file", "path": rows, "follow": True},
            "broker": {"port": mosquitto.port},
        }
        return {finding.topic: finding for finding in doctor.examine(AgentSettings(**settings | changes), now)}

    return examine


def bad(findings):
    return {topic for topic, finding in findings.items() if finding.verdict == "bad"}


def test_where_all_is_well_only_what_was_not_done_yet_is_doubtful(examine):
    with serving(Centre) as url:
        findings = examine(centre_url=url)
    assert {topic for topic, finding in findings.items() if finding.verdict != "good"} == {"agent"}
    assert "no agent has run" in findings["agent"].found
    assert "gw-1" not in str(findings["session"].remedy)
    assert findings["source"].found.startswith("file ")


@pytest.mark.parametrize(
    ("changes", "topics", "word"),
    [
        ({"model": "nothing"}, {"model"}, "nothing"),
        ({"source": {"kind": "file", "path": "/nowhere"}}, {"source"}, "/nowhere"),
        ({"source": {"kind": "mqtt", "topic": "rows", "port": 1}}, {"source"}, "127.0.0.1:1"),
        ({"source": OPCUA}, {"source"}, "127.0.0.1:1"),
        ({"broker": {"host": "no-such-host.invalid"}}, {"name"}, "no-such-host.invalid"),
        ({"broker": {"port": 1}}, {"network"}, "port 1"),
        ({"outbox": {"disk_reserve_bytes": 10**16}}, {"disk"}, "free"),
        ({"data_dir": "/dev/null/state"}, {"folder"}, "/dev/null"),
    ],
)
def test_what_is_wrong_is_found_with_a_remedy(examine, changes, topics, word):
    findings = examine(**changes)
    assert bad(findings) == topics
    (finding,) = (findings[topic] for topic in topics)
    assert word in finding.found
    assert finding.remedy


def test_a_broker_without_tls_is_told_from_one_that_cannot_be_used(examine, mosquitto, make_mosquitto):
    findings = examine(broker={"port": mosquitto.port, "tls": True})
    assert bad(findings) == {"TLS"}
    narrow = make_mosquitto("max_packet_size 1000")
    findings = examine(broker={"port": narrow.port})
    assert bad(findings) == {"session"}
    assert "takes packets of 1000 bytes" in findings["session"].found


@pytest.mark.parametrize(("ahead_s", "word"), [(3600, "ahead of"), (-86_400, "behind")])
def test_a_clock_is_compared_with_the_centres(examine, ahead_s, word):
    with serving(Centre) as url:
        findings = examine(lambda: datetime.now(UTC) + timedelta(seconds=ahead_s), centre_url=url)
    assert bad(findings) == {"clock"}
    told_s, told_word = re.match(r"([\d,]+)\.\d s (.*) the centre's", findings["clock"].found).groups()
    assert told_word == word
    assert abs(int(told_s.replace(",", "")) - abs(ahead_s)) < 30


def test_an_agent_that_has_stopped_and_what_it_lost_are_told(examine, tmp_path):
    (tmp_path / "state").mkdir()
    Outbox(tmp_path / "state" / "outbox.db").close()
    findings = examine()
    assert bad(findings) == {"agent"}
    assert findings["agent"].found == "not running"
    assert findings["outbox"].verdict == "good"


@pytest.fixture
def running_agent(tmp_path):
    """What is seen of an agent that runs: its lock and the status it writes, with the link that is set."""
    folder = tmp_path / "state"
    folder.mkdir()
    model = ModelRef(name="m", version="1.0.0", sha256="0" * 64)
    with closing(Outbox(folder / "outbox.db")) as outbox, (folder / LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        board = StatusBoard(
            *(outbox, outbox.begin_session(), ["E-1"], model, 15.0),
            source=SourceGauge("file"),
            now=lambda: datetime.now(UTC),
        )
        yield lambda link, **told: board.write(folder, LinkView(summary=link, is_up=link == "up", **told))


@pytest.mark.parametrize("before", ["stopped", "down: not connected yet"])
def test_a_running_agents_session_is_left_alone_and_awaited(
    examine, running_agent, make_mosquitto, monkeypatch, before
):
    port = make_mosquitto("max_packet_size 1000").port  # a session of the doctor's own would fail
    running_agent(before)
    monkeypatch.setattr(doctor.time, "sleep", lambda _: running_agent("up"))
    finding = examine(broker={"port": port})["session"]
    assert (finding.verdict, finding.found) == ("good", "the running agent's link is up")


@pytest.mark.parametrize(("skew_s", "verdict"), [(-8.0, "bad"), (0.2, "good"), (None, "doubtful")])
def test_without_the_centres_api_a_running_agent_tells_how_far_the_clock_is_off(
    examine, running_agent, monkeypatch, skew_s, verdict
):
    monkeypatch.setattr(doctor, "TIMEOUT_S", 1.0)
    running_agent("up", clock_skew_s=skew_s)
    assert examine()["clock"].verdict == verdict
    assert examine(centre_url="http://127.0.0.1:1")["clock"].verdict == verdict


def test_a_running_agent_whose_link_stays_down_is_told_with_its_reason(examine, running_agent, monkeypatch):
    monkeypatch.setattr(doctor, "TIMEOUT_S", 1.0)
    running_agent("down: the broker refused the connection: Not authorized")
    finding = examine()["session"]
    assert finding.verdict == "bad"
    assert "Not authorized" in finding.found
    assert finding.remedy


def test_the_command_prints_lines_or_json_and_fails_where_something_is_bad(tmp_path, mosquitto, capsys, monkeypatch):
    monkeypatch.setattr(log, "configure", lambda *_: None)
    config = tmp_path / "agent.toml"
    config.write_text(
        f'site = "hamburg"\ngateway = "gw-1"\ndata_dir = "{tmp_path / "state"}"\nengines = [{{ serial = "E-1" }}]\n'
        f'source = {{ kind = "file", path = "/nowhere" }}\nbroker = {{ port = {mosquitto.port} }}\n'
    )
    for arguments in ([], ["--json"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(["doctor", "--config", str(config), *arguments])
        assert ended.value.code == 1
        printed = capsys.readouterr().out
        if arguments:
            assert {finding["topic"]: finding["verdict"] for finding in json.loads(printed)}["source"] == "bad"
        else:
            assert "✗ source     source.path: /nowhere" in printed
            assert "→ set it right in the section [source]" in printed
