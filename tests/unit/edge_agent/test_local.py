"""What people read in ``spoolwatch-agent status``."""

import pytest

from edge_agent.local import View
from edge_agent.status_text import render
from shared.messages import OutboxStatus


def shown(*, running=True, view=(), colour=False, **outbox):
    status = OutboxStatus(capacity_bytes=512_000_000, used_bytes=3_100_000, **outbox)
    fields = {"running": running, "stream_id": "s", "next_seq": 9, "outbox": status, "refused_rows": 0, "last": None}
    return render(View(**(fields | dict(view))), as_json=False, colour=colour)


def test_room_is_shown_in_hours_at_the_present_rate():
    assert "room       for 1,041.5 h without the centre at 2.0 records/s; 3.1 of 512.0 MB used" in shown(
        hours_left=1041.5, accepted_per_s=2.0
    )


@pytest.mark.parametrize(
    ("running", "why"), [(True, "no records in the last ten minutes"), (False, "the agent is not running")]
)
def test_hours_at_the_last_known_rate_say_so(running, why):
    text = shown(running=running, hours_left=1041.5, accepted_per_s=2.0, view={"rate_is_last_known": True})
    assert f"room       for 1,041.5 h without the centre at 2.0 records/s, the last known rate ({why}); 3.1 of" in text


def test_where_no_record_was_ever_accepted_no_hours_are_promised():
    assert "room       hours unknown, no record was accepted yet; 3.1 of" in shown()


def test_what_was_set_aside_and_given_up_since_is_shown_where_there_is_any():
    assert "set aside  7 records quarantined by the centre, 0 rows refused" in shown(dead_letters=7)
    text = shown(dead_letters=7, view={"dead_letters_given_up": 3, "refused_rows": 9, "refused_rows_given_up": 2})
    assert "7 records quarantined by the centre (3 of them kept no longer), 9 rows refused (2 of them kept" in text


def test_drops_and_damage_are_shown_where_there_are_any():
    assert "dropped" not in shown()
    assert "damage" not in shown()
    assert "dropped    7 records given up" in shown(dropped=7)
    assert "damage     header is noise" in shown(damage="header is noise")


def test_in_colour_what_is_wrong_is_red_and_an_agent_that_runs_green():
    text = shown(colour=True, dropped=7)
    assert "\033[32magent      running\033[0m" in text
    assert "\033[31mdropped    7 records given up" in text
    assert "\033[31magent      not running\033[0m" in shown(colour=True, running=False)
    assert "\033" not in shown(dropped=7)
