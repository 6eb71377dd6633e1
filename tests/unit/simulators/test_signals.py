"""Ctrl-C asks once to end, twice to end at once, and the program's own behaviour comes back afterwards."""

import signal

import pytest

from shared.errors import SpoolwatchError
from simulators.signals import STOPPING, stop_wish


@pytest.fixture(autouse=True)
def _not_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_is_a_wish_to_end_and_a_second_one_to_end_at_once(number):
    with stop_wish() as wish:
        assert not wish.wanted
        wish.check()

        signal.raise_signal(number)
        assert (wish.wanted, wish.at_once) == (True, False)
        with pytest.raises(SpoolwatchError, match="before anything was emitted"):
            wish.check()

        signal.raise_signal(number)
        assert wish.at_once


def test_what_a_signal_did_before_it_does_afterwards():
    before = [signal.getsignal(number) for number in STOPPING]

    with stop_wish():
        pass

    assert [signal.getsignal(number) for number in STOPPING] == before


def test_under_nohup_a_closed_terminal_is_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stop_wish() as wish:
        signal.raise_signal(signal.SIGHUP)
        assert not wish.wanted
