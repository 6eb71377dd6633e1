import pytest

from edge_agent.seldom import INTERVAL_S, Seldom


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def seldom(clock):
    return Seldom(monotonic_s=lambda: clock[0])


def test_what_goes_on_is_told_at_first_and_then_every_ten_minutes(seldom, clock):
    told = []
    for second in range(int(2 * INTERVAL_S) + 1):
        clock[0] = 100.0 + second
        if seldom.due("cable"):
            told.append(second)
    assert told == [0, INTERVAL_S, 2 * INTERVAL_S]


def test_another_reason_is_told_at_once(seldom):
    assert [seldom.due(reason) for reason in ("cable", "cable", "power", "cable")] == [True, False, True, True]


def test_the_end_is_told_once_and_only_of_what_was_told(seldom):
    assert not seldom.over()
    assert seldom.due("cable")
    assert (seldom.over(), seldom.over()) == (True, False)
    assert seldom.due("cable")
