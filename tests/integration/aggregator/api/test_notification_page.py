"""docs/notification.md: its snippets run, in their order, and do what the page says."""

import json
import re
from pathlib import Path
from typing import get_args

from aggregator.fleet.notifying import Event, Wishes

PAGE = (Path(__file__).parents[4] / "docs" / "notification.md").read_text(encoding="utf-8")


def test_the_tables_name_each_wish_and_each_event():
    assert re.findall(r"^\| `([a-z_]+)`:", PAGE, re.MULTILINE) == list(Wishes.model_fields)
    (events,) = re.findall(r"^\| `events`: which of (.*?) \|", PAGE, re.MULTILINE)
    assert re.findall(r"`([a-z_.]+)`", events) == list(get_args(Event))


def test_the_snippets_run_and_do_what_the_page_says(serve_snippets, clock):
    clock.at = clock.at.now(clock.at.tzinfo)  # a receiver looks whether what it gets is fresh
    mail, tested, chat, hook, dead, again = serve_snippets("notification.md")
    assert (json.loads(mail)["via"], json.loads(chat)["via"]) == ("E-Mail", "Slack")
    assert json.loads(mail)["secret"] is None
    assert json.loads(tested)["sent"] is False
    assert hook.splitlines() == ["spoolwatch.test receivers/3", "{'sent': True, 'detail': 'taken with status 204'}"]
    assert json.loads(dead)["items"] == []
    assert json.loads(again) == {"ids": []}
