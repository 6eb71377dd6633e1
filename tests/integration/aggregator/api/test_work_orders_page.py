"""docs/work-orders.md: its snippets run, in their order, and do what it says; its tables are what the code has."""

import json
import re
from pathlib import Path

from aggregator.fleet.work_orders import Outcome, State

PAGE = (Path(__file__).parents[4] / "docs" / "work-orders.md").read_text(encoding="utf-8")


def test_the_tables_name_each_state_and_each_outcome():
    assert re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE) == [*State, *Outcome]


def test_the_snippets_run_and_do_what_the_page_says(serve_snippets, recorder, clock):
    recorder.register("ESN-1001")
    for cycle in range(1, 31):
        clock.advance(3600)
        recorder.send(recorder.row("ESN-1001", cycle), recorder.prediction("ESN-1001", cycle, q50=31.0 - cycle))
    opened, to_do, done, corrected, models, alarms, cmms, file = serve_snippets("work-orders.md")
    first, second = opened.splitlines()
    assert first.startswith("open urgent rul-critical: with a probability of 5 %")
    assert second == "planned order parts by 2026-12-04"
    (order,) = json.loads(to_do)["items"]
    assert (order["state"], order["assigned_to"]) == ("in_progress", "line 3")
    assert done == "done replaced after cycle 30\n"
    assert corrected.splitlines()[-2:] == [
        "done replaced: blade 7 is cracked",
        "corrected failed, replaced: the shop found that it had surged",
    ]
    (model,) = json.loads(models)
    assert (model["figures"]["lives"], model["censored"]["lives"]) == (1, 0)
    assert {one["rule"]: one["warned"] for one in json.loads(alarms)} == {"rul-critical": 1, "rul-low": 1}
    assert json.loads(cmms)["secret"].startswith("whsec_")
    header, line = file.splitlines()
    assert header.startswith("id,state,engine,site,priority")
    assert line.startswith("1,done,ESN-1001,hamburg,urgent")
