"""Who is told of what, and when."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aggregator.fleet.alarms import Priority
from aggregator.fleet.notifying import (
    RETRY_AFTER_MAX_S,
    RETRY_CAP_S,
    News,
    QuietHours,
    Wishes,
    due_at,
    retry_in_s,
    wants,
)

NOW = datetime(2026, 12, 1, 22, 30, tzinfo=UTC)  # half past eleven in Berlin
NIGHT = QuietHours(begin="20:00", end="06:00", zone="Europe/Berlin")
MORNING = datetime(2026, 12, 2, 5, 0, tzinfo=UTC)
RAISED = News("alarm.raised", "hamburg", Priority.HIGH, NOW)
URGENT = RAISED._replace(priority=Priority.URGENT)

minutes = st.tuples(st.integers(0, 23), st.integers(0, 59)).map(lambda at: f"{at[0]:02}:{at[1]:02}")
moments = st.integers(1_577_836_800, 2_051_222_400).map(lambda at_s: datetime.fromtimestamp(at_s, UTC))
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"])


@given(minutes, minutes, zones, moments)
def test_quiet_hours_end_within_a_day_and_it_is_not_quiet_then(begin, end, zone, at):
    if begin == end:
        return
    quiet = QuietHours(begin=begin, end=end, zone=zone)
    over = quiet.end_of(at)
    assert at <= over <= at + timedelta(hours=25)
    assert quiet.end_of(over) == over
    if over > at:
        local = at.astimezone(ZoneInfo(zone)).strftime("%H:%M")
        assert begin <= local < end if begin < end else (local >= begin or local < end)


@pytest.mark.parametrize(
    ("at", "over"),
    [
        ("2026-03-29T00:30:00+00:00", "2026-03-29T01:30:00+00:00"),  # 02:30 is left out: until 03:30 of summer
        ("2026-10-25T00:15:00+00:00", "2026-10-25T01:30:00+00:00"),  # 02:30 comes twice: until the second
    ],
)
def test_quiet_hours_outlast_a_change_of_clocks(at, over):
    quiet = QuietHours(begin="22:00", end="02:30", zone="Europe/Berlin")
    assert quiet.end_of(datetime.fromisoformat(at)) == datetime.fromisoformat(over)


@pytest.mark.parametrize(
    ("wishes", "news", "at"),
    [
        ({}, RAISED, NOW),
        ({"quiet_hours": NIGHT}, RAISED, MORNING),
        ({"quiet_hours": NIGHT}, URGENT, NOW),
        ({"quiet_hours": NIGHT, "at_once": None}, URGENT, MORNING),
        ({"quiet_hours": NIGHT, "at_once": "high"}, RAISED, NOW),
        ({"digest_s": 600}, RAISED, NOW + timedelta(minutes=10)),
        ({"digest_s": 600}, URGENT, NOW),
        ({"digest_s": 600, "quiet_hours": NIGHT}, RAISED, MORNING),
        ({"unacknowledged_for_s": 900}, URGENT, NOW + timedelta(minutes=15)),
        ({"unacknowledged_for_s": 900, "quiet_hours": NIGHT}, RAISED, MORNING),
        ({"unacknowledged_for_s": 900}, URGENT._replace(event="alarm.cleared"), NOW),
        ({"unacknowledged_for_s": 900}, URGENT._replace(event="alarm.escalated"), NOW + timedelta(minutes=15)),
    ],
)
def test_a_receiver_is_told_when_it_wants_to_be(wishes, news, at):
    assert due_at(Wishes.model_validate(wishes), news, NOW) == at


def test_a_digest_that_is_being_collected_goes_out_as_it_was_to():
    begun = NOW + timedelta(minutes=3)
    assert due_at(Wishes(digest_s=600), RAISED, NOW, begun) == begun


@pytest.mark.parametrize(
    ("wishes", "site", "news", "expected"),
    [
        ({}, "", RAISED, True),
        ({}, "hamburg", RAISED, True),
        ({}, "bremen", RAISED, False),
        ({"priority": "high"}, "", RAISED, True),
        ({"priority": "urgent"}, "", RAISED, False),
        ({}, "", RAISED._replace(event="alarm.cleared"), False),
        ({}, "", RAISED._replace(event="alarm.escalated"), True),
        ({}, "", RAISED._replace(event="alarm.escalated", shelved_until=NOW + timedelta(seconds=1)), False),
        ({}, "", RAISED._replace(event="alarm.prioritised"), False),
        ({"events": ["alarm.cleared"]}, "", RAISED._replace(event="alarm.cleared"), True),
        ({}, "", RAISED._replace(shelved_until=NOW + timedelta(seconds=1)), False),
        ({}, "", RAISED._replace(shelved_until=NOW), True),
        (
            {"events": ["alarm.shelved"]},
            "",
            RAISED._replace(event="alarm.shelved", shelved_until=NOW + timedelta(days=1)),
            True,
        ),
    ],
)
def test_a_receiver_is_told_what_it_wants(wishes, site, news, expected):
    assert wants(Wishes.model_validate(wishes), site, news) is expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"events": []},
        {"events": ["alarm.forgotten"]},
        {"digest_s": 600, "unacknowledged_for_s": 600},
        {"quiet_hours": {"begin": "20:00", "end": "20:00", "zone": "UTC"}},
        {"quiet_hours": {"begin": "20:00", "end": "24:00", "zone": "UTC"}},
        {"quiet_hours": {"begin": "20:00", "end": "06:00", "zone": "Europe/Nowhere"}},
        {"quiet_hours": {"begin": "20:00", "end": "06:00", "zone": "../etc/passwd"}},
    ],
)
def test_what_nobody_can_want_is_refused(wrong):
    with pytest.raises(ValidationError):
        Wishes.model_validate(wrong)


def test_retries_wait_longer_and_longer_and_as_long_as_they_are_asked_to():
    assert all(retry_in_s(1) <= 5 for _ in range(100))
    assert 60 < max(retry_in_s(20) for _ in range(100)) <= RETRY_CAP_S
    assert retry_in_s(1, 120) == 120
    assert retry_in_s(1, 0) == 1
    assert retry_in_s(1, float("inf")) == RETRY_AFTER_MAX_S
