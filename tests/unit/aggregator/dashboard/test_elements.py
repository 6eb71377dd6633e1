"""What is sent to a browser of the rows of one engine."""

from hypothesis import given
from hypothesis import strategies as st

from aggregator.dashboard.elements import SentRows
from aggregator.store.reads.engine import CycleRow


def row(cycle, **channels):
    return CycleRow(cycle, channels, {})


def test_a_sparse_latest_row_takes_no_channel_away():
    patch = SentRows().patch([row(1, P30=553.0, T24=641.0), row(2, T24=642.0)], None)
    assert patch["names"] == ["T24", "P30"]
    assert [point["values"] for point in patch["rows"]] == [[641.0, 553.0], [642.0, None]]


def test_channels_that_cmapss_does_not_know_come_last_as_first_seen():
    patch = SentRows().patch([row(1, vibration=0.1, T24=641.0), row(2, oil=3.0)], None)
    assert patch["names"] == ["T24", "vibration", "oil"]


def test_a_new_channel_sends_every_row_anew():
    sent = SentRows()
    sent.patch([row(1, P30=553.0)], None)
    patch = sent.patch([row(1, P30=553.0), row(2, T24=641.0, P30=554.0)], None)
    assert patch["names"] == ["T24", "P30"]
    assert [point["cycle"] for point in patch["rows"]] == [1, 2]


class Told:
    """A baseline that calls every channel half a standard deviation off."""

    def distances(self, channels):
        return dict.fromkeys(channels.keys() - {"P30"}, 0.5)


def test_a_baseline_sends_every_row_anew_with_how_far_its_channels_are_from_it():
    sent, rows, baseline = SentRows(), [row(1, P30=553.0, T24=641.0)], Told()
    assert sent.patch(rows, None)["has_baseline"] is False
    patch = sent.patch(rows, baseline)
    assert patch["has_baseline"] is True
    assert [point["distances"] for point in patch["rows"]] == [[0.5, None]]
    assert sent.patch(rows, baseline)["rows"] == []


@given(st.lists(st.integers(1, 60), min_size=1), st.integers(1, 10))
def test_each_row_of_the_window_is_sent_once_and_no_more_is_remembered(arriving, keep):
    """As the page does it: each time with the last rows there are, some of which come late."""
    sent, stored, browser = SentRows(), set(), set()
    for cycle in arriving:
        stored.add(cycle)
        window = sorted(stored)[-keep:]
        new = {point["cycle"] for point in sent.patch([row(one, T24=1.0) for one in window], None)["rows"]}
        assert not new & browser
        browser = set(sorted(browser | new)[-keep:])
        assert browser == set(window) == sent._cycles  # what is remembered is the point
