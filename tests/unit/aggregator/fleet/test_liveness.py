"""P9: liveness is derived from status and records together, and says why."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.fleet.liveness import PATIENCE, LastStatus, LinkState, Liveness, Signs, liveness_of

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
INTERVAL_S = 10.0
ALLOWED_S = INTERVAL_S * PATIENCE.intervals


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def judge(event: str | None, status_s: float, record_s: float | None) -> Liveness:
    status = LastStatus(event, ago(status_s), INTERVAL_S) if event else None
    return liveness_of(Signs(status, None if record_s is None else ago(record_s)), NOW)


@pytest.mark.parametrize(
    ("event", "status_s", "record_s", "state", "reason"),
    [
        (None, 0, None, LinkState.NEVER_SEEN, "its gateway was never heard from"),
        (None, 0, 60, LinkState.ONLINE, "records arrive although its gateway never sent a status"),
        (None, 0, 61, LinkState.STALE, "last record 61 s ago, and its gateway never sent a status"),
        ("birth", 3, None, LinkState.ONLINE, "has just started, heartbeat promised every 10 s"),
        ("heartbeat", ALLOWED_S, 400, LinkState.ONLINE, "heartbeat on time, promised every 10 s"),
        ("heartbeat", 105, 400, LinkState.STALE, "heartbeat 95 s late, last record 6 min ago"),
        ("heartbeat", 105, None, LinkState.STALE, "heartbeat 95 s late, and no record yet"),
        ("heartbeat", 105, ALLOWED_S, LinkState.ONLINE, "records arrive although the heartbeat is 95 s late"),
        ("stopped", 60, 70, LinkState.OFFLINE, "stopped by its operator at 2026-11-21T11:59:00Z"),
        ("will", 60, 70, LinkState.OFFLINE, "last will received at 2026-11-21T11:59:00Z"),
        ("will", 60, 56, LinkState.OFFLINE, "last will received at 2026-11-21T11:59:00Z"),
        (
            "will",
            60,
            ALLOWED_S,
            LinkState.ONLINE,
            "records arrive although its last will was received at 2026-11-21T11:59:00Z",
        ),
        ("will", 60, ALLOWED_S + 1, LinkState.OFFLINE, "last will received at 2026-11-21T11:59:00Z"),
    ],
)
def test_p9_state_and_reason(
    event: str | None, status_s: float, record_s: float | None, state: LinkState, reason: str
) -> None:
    assert judge(event, status_s, record_s) == Liveness(state, reason)


def test_p9_an_engine_installed_nowhere_was_never_seen() -> None:
    assert liveness_of(None, NOW) == Liveness(LinkState.NEVER_SEEN, "not installed at any gateway")


def test_p9_a_clock_that_stepped_back_does_not_make_a_gateway_silent() -> None:
    assert judge("heartbeat", -300, None) == Liveness(LinkState.ONLINE, "heartbeat on time, promised every 10 s")


seconds = st.none() | st.floats(min_value=0, max_value=1e6)
events = st.sampled_from(["birth", "heartbeat", "stopped", "will"])


@given(events, st.floats(min_value=0, max_value=1e6), seconds)
def test_p9_a_gateway_that_was_heard_from_is_never_called_never_seen(
    event: str, status_s: float, record_s: float | None
) -> None:
    liveness = judge(event, status_s, record_s)
    assert liveness.state is not LinkState.NEVER_SEEN
    assert liveness.reason


@given(events, st.floats(min_value=0, max_value=1e6), seconds)
def test_p9_silence_of_both_status_and_records_is_never_online(
    event: str, status_s: float, record_s: float | None
) -> None:
    online = judge(event, status_s, record_s).state is LinkState.ONLINE
    silent = status_s > ALLOWED_S and (record_s is None or record_s > ALLOWED_S)
    assert not (online and silent)


@given(st.sampled_from(["stopped", "will"]), st.floats(min_value=0, max_value=1e6), seconds)
def test_p9_offline_and_stale_follow_from_what_was_said_last(
    event: str, status_s: float, record_s: float | None
) -> None:
    assert judge(event, status_s, record_s).state in (LinkState.OFFLINE, LinkState.ONLINE)
