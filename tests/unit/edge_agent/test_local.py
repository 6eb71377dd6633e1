"""What people read in ``spoolwatch-agent status``."""

from edge_agent.local import View, render
from shared.messages import OutboxStatus


def shown(running=True, **outbox):
    status = OutboxStatus(capacity_bytes=512_000_000, used_bytes=3_100_000, **outbox)
    view = View(running=running, stream_id="s", next_seq=9, outbox=status, refused_rows=0, last=None)
    return render(view, as_json=False)


def test_room_is_shown_in_hours_at_the_present_rate():
    assert "room       for 1,041.5 h without the centre at 2.0 records/s; 3.1 of 512.0 MB used" in shown(
        hours_left=1041.5, accepted_per_s=2.0
    )


def test_a_rate_of_zero_promises_no_hours():
    assert "room       hours unknown, no records in the last ten minutes; 3.1 of" in shown()


def test_an_agent_that_does_not_run_has_no_rate():
    assert "hours unknown, the agent is not running" in shown(running=False)


def test_drops_and_damage_are_shown_where_there_are_any():
    assert "dropped" not in shown()
    assert "damage" not in shown()
    assert "dropped    7 records given up" in shown(dropped=7)
    assert "damage     header is noise" in shown(damage="header is noise")
