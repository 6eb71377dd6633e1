"""How long the link waits before it connects again."""

import random

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.reconnect import CALM_S, STEADY_S, SUSPICIOUS_LOSSES, Ended, Reconnects
from shared.backoff import CAP_S, full_jitter_s

LOST = Ended("connection closed: Unspecified error")


def longest(_low, high):
    return high


def shortest(low, _high):
    return low


@given(st.lists(st.floats(0, 200), min_size=1, max_size=40), st.randoms())
def test_no_wait_is_longer_than_the_cap(lives, chance):
    reconnects = Reconnects("gw", uniform=chance.uniform)
    for lived_s in lives:
        _, delay_s = reconnects.after(LOST, lived_s=lived_s)
        assert 0 <= delay_s <= CAP_S


def test_the_bound_of_the_wait_doubles_up_to_the_cap_and_a_steady_connection_resets_it():
    reconnects = Reconnects("gw", uniform=longest)
    bounds = [reconnects.after(LOST, lived_s=0.0)[1] for _ in range(8)]
    assert bounds == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert reconnects.after(LOST, lived_s=STEADY_S)[1] == 0.5


def test_waits_are_spread_over_the_whole_range_so_that_gateways_do_not_come_back_together():
    chance = random.Random(1)
    waits = [full_jitter_s(9, uniform=chance.uniform) for _ in range(1000)]
    assert min(waits) < 1
    assert max(waits) > 29
    assert 14 < sum(waits) / len(waits) < 16


def test_who_is_thrown_out_by_its_namesake_leaves_it_the_line_for_long():
    reason, delay_s = Reconnects("gw", uniform=shortest).after(
        Ended("Session taken over", taken_over=True), lived_s=500
    )
    assert delay_s == CAP_S / 2
    assert "another client has connected as 'gw'" in reason
    assert "give each gateway its own name" in reason


def test_connections_lost_again_and_again_within_seconds_look_like_a_namesake():
    reconnects = Reconnects("gw", uniform=shortest)
    said = [reconnects.after(LOST, lived_s=0.3) for _ in range(SUSPICIOUS_LOSSES)]
    assert [delay_s for _, delay_s in said] == [0, 0, CAP_S / 2]
    assert "probably to another client that connects as 'gw'" in said[-1][0]


def test_a_namesake_is_remembered_until_a_connection_was_calm():
    reconnects = Reconnects("gw", uniform=shortest)
    for _ in range(SUSPICIOUS_LOSSES):
        reconnects.after(LOST, lived_s=0.3)
    assert "probably" in reconnects.after(LOST, lived_s=CAP_S)[0]
    assert reconnects.after(LOST, lived_s=CALM_S) == (LOST.reason, 0)


def test_a_broker_that_is_away_is_no_namesake():
    reconnects = Reconnects("gw", uniform=shortest)
    assert [reconnects.after(Ended("nobody answers"), lived_s=0.0) for _ in range(9)] == [("nobody answers", 0)] * 9


def test_a_broker_that_is_started_again_and_again_is_no_namesake():
    reconnects = Reconnects("gw", uniform=shortest)
    for lived_s in (1.0, 0.0) * 9:
        assert reconnects.after(LOST, lived_s=lived_s) == (LOST.reason, 0)
