"""docs/alarms.md: its snippets run, in their order, do what the page says, and its table is what the code has."""

import json
import re
from pathlib import Path

from aggregator.fleet.alarms import DEFAULT_RULES

PAGE = (Path(__file__).parents[4] / "docs" / "alarms.md").read_text(encoding="utf-8")


def test_the_table_names_each_default_rule_with_its_priority():
    told = re.findall(r"^\| `([a-z-]+)` \| (urgent|high|medium|low) \|", PAGE, re.MULTILINE)
    assert told == [(rule.name, rule.priority.value) for rule in DEFAULT_RULES]


def test_the_snippets_run_and_do_what_the_page_says(serve_snippets, recorder, clock):
    clock.at = clock.at.now(clock.at.tzinfo)  # a snippet asks the machine what time it is
    recorder.register("ESN-1001")
    recorder.send(*(recorder.prediction("ESN-1001", cycle, q50=30.0) for cycle in range(1, 6)))
    urgent, acted, tried, added = serve_snippets("alarms.md")
    (alarm,) = json.loads(urgent)["items"]
    assert (alarm["engine"], alarm["state"]) == ("ESN-1001", "active")
    first, *changes = acted.splitlines()
    assert first == "ESN-1001 active seen by anyone assigned to line 3"
    assert [change.split()[0] for change in changes] == ["raised", "acknowledged", "assigned", "commented", "shelved"]
    assert [(one["engine"], one["cycle"]) for one in json.loads(tried)["raised"]] == [("ESN-1001", 3)]
    assert json.loads(added)["site"] == "hamburg"
