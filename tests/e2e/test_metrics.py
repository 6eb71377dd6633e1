"""Prometheus reads a running agent, on this box only."""

import re
import socket
import time
import urllib.request
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_agent.status import read_local_status
from simulators.engine_model import SimulatedEngine

ROWS = 40
BEFORE_S = time.time()


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def samples(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def troubles(agent):
    told = read_local_status(agent.folder / "state")
    return told and told.troubles


def test_a_running_agent_is_read_with_the_numbers_of_its_status(make_agent, wait_until, port):
    agent = make_agent(**{"metrics.port": port})
    config = agent.config.read_text()
    agent.config.write_text(config.replace("delivery = {", "delivery = {daily_budget_bytes = 5000000, "))
    agent.start()
    agent.feed(*((1, cycle, values) for cycle, values, _ in islice(SimulatedEngine("E-1", seed=5).rows(), ROWS)))
    told = {}

    def has_all():
        with suppress(OSError):
            told.update(samples(port))
        return told.get(("spoolwatch_agent_rows_total",)) == ROWS and told[("spoolwatch_agent_link_up",)]

    wait_until(has_all, f"all rows are told, see {agent.log}")
    assert told["spoolwatch_agent_predictions_total",] == ROWS
    assert told["spoolwatch_agent_outbox_records",] == 2 * ROWS  # nobody answers here
    assert told["spoolwatch_agent_sent_bytes_total",] > 0
    assert told["spoolwatch_agent_budget_bytes",] == 5_000_000
    assert told["spoolwatch_agent_budget_spent_bytes",] >= told["spoolwatch_agent_sent_bytes_total",]
    assert BEFORE_S < told["spoolwatch_agent_last_row_timestamp_seconds",] <= time.time()
    assert told["spoolwatch_agent_source_state", "reading"] == 1
    page = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text(encoding="utf-8")
    names = {name.removeprefix("spoolwatch_agent_") for name, *_ in told}
    assert {name for name in names if not re.search(rf"`{name}[`{{]", page)} == set()
    rul = [told["spoolwatch_agent_rul_cycles", "E-1", quantile] for quantile in ("0.05", "0.5", "0.95")]
    assert rul == sorted(rul)

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), 5)  # on this box, and not the address that is served

    with agent.rows.open("a") as file:
        file.write("garbage\n")
    (trouble,) = wait_until(lambda: troubles(agent), "what its log warns of is in its status")
    assert (trouble.event, trouble.times) == ("rows_refused", 1)
    assert agent.stop() == 0


def test_a_port_that_is_taken_is_told_and_stops_no_engine(make_agent, wait_until, port):
    agent = make_agent(**{"metrics.port": port})
    with socket.create_server(("127.0.0.1", port)):
        agent.start()
        (trouble,) = wait_until(lambda: troubles(agent), f"it is told, see {agent.log}")
    assert trouble.event == "metrics_not_served"
    assert f"metrics.port: 127.0.0.1:{port} cannot be had: Address already in use" in trouble.text
    assert agent.stop() == 0
