"""docs/api.md: its snippets run, in their order, and do what the page says."""

import csv
import re
from itertools import islice

import pytest

from aggregator.store.registry import Registration, register_engine
from shared.cmapss import CHANNELS
from simulators.engine_model import SimulatedEngine

DAY_S = 86_400


class Unheard:
    """Publishes commands to nobody."""

    def issue(self, command):
        pass

    def add(self, outcome):
        pass


@pytest.fixture
def fleet(recorder, clock, store):
    """Two engines that have flown 4 cycles a day for 10 days, a spare, and a row of the spare that came too early."""
    for serial in ("ESN-1001", "ESN-1002"):
        recorder.register(serial)
    register_engine(store, Registration("ESN-1003", "hamburg"), clock())
    rows = [dict(zip(CHANNELS, row.values, strict=True)) for row in islice(SimulatedEngine("E", seed=1).rows(), 11)]
    for day, channels in enumerate(rows):
        recorder.send(*(recorder.row(f"ESN-100{each}", 1 + 4 * day, channels) for each in (1, 2)))
        clock.advance(DAY_S if day < 10 else 0)
    recorder.send(recorder.prediction("ESN-1001", 41, q50=30, spread=14), recorder.prediction("ESN-1002", 41, q50=90))
    recorder.send(recorder.row("ESN-1003", 1))
    recorder.status("heartbeat")


@pytest.mark.usefixtures("fleet")
def test_the_snippets_run_and_do_what_the_page_says(serve_snippets, tmp_path):
    said = serve_snippets("api.md", orders=Unheard())
    assert '"serial":"ESN-1001"' in said[0]
    assert said[1] == "ESN-1001 due 2026-12-05T12:00:00Z ORDER NOW\n"
    assert any('{"taken":1,"refused":0,"next":null}' in one for one in said)
    assert "no prediction: waiting \n" in said
    assert any('"origin":"centre"' in one for one in said)
    assert any('"action":"restart_source"' in one for one in said)
    assert "fetch_samples waiting None\nobserved_at,cycle\n" in said
    assert any(
        re.search(r"^ESN-1002 \d+\.\d+ None\nESN-1003 None engine ESN-1003 is installed nowhere", one) for one in said
    )
    assert "centre prediction: identical\n" in said
    assert "ESN-1002 is in maintenance\n" in said
    assert "304\n" in said
    assert "201 done now\n201 true\n" in said
    header, week = csv.reader((tmp_path / "this-week.csv").read_text(encoding="utf-8").splitlines())
    assert header == ["serial", "site", "due at", "order parts by", "what has moved"]
    assert week[:4] == ["ESN-1001", "hamburg", "2026-12-05T12:00:00Z", "2026-11-30T12:00:00Z"]
    assert "is not installed at the centre" in week[4]
    columns, line = (tmp_path / "ESN-1001.csv").read_text(encoding="utf-8").splitlines()
    assert columns == "cycle,observed_at,rul_q05_cycles,rul_q50_cycles,cap_cycles"
    assert line.startswith("41,")
    assert any(re.search(r'^{"items":\[{"serial":"ESN-1001","rul":', one) for one in said)
