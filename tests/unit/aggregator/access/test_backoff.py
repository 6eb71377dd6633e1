"""Failed logins wait longer each time, by address and name."""

from datetime import UTC, datetime, timedelta

from aggregator.access.backoff import KEYS_MAX, LONGEST_WAIT_S, LoginBackoff

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ANNA = ("192.0.2.7", "anna")


def test_after_a_few_free_ones_each_failure_doubles_the_wait():
    backoff, waits = LoginBackoff(), []
    for _ in range(20):
        backoff.fail(ANNA, NOW)
        waits.append(backoff.wait_s(ANNA, NOW))
    assert waits[:8] == [0, 0, 0, 0, 2, 4, 8, 16]
    assert waits[-1] == LONGEST_WAIT_S


def test_the_wait_is_over_by_time_or_success():
    backoff = LoginBackoff()
    for _ in range(5):
        backoff.fail(ANNA, NOW)
    assert backoff.wait_s(ANNA, NOW + timedelta(seconds=2)) == 0
    backoff.succeed(ANNA)
    backoff.fail(ANNA, NOW)
    assert backoff.wait_s(ANNA, NOW) == 0


def test_somebody_else_is_not_kept_out():
    backoff = LoginBackoff()
    for _ in range(9):
        backoff.fail(ANNA, NOW)
    assert backoff.wait_s(("203.0.113.9", "anna"), NOW) == 0
    assert backoff.wait_s(("192.0.2.7", "berta"), NOW) == 0


def test_memory_is_bounded():
    backoff = LoginBackoff()
    for number in range(KEYS_MAX + 5):
        backoff.fail(("192.0.2.7", str(number)), NOW)
    assert len(backoff._failures) == KEYS_MAX
