"""Durations in words."""

import pytest

from aggregator.fleet.durations import in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-4, "0 s"),
        (0.9, "0 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (48 * 3600, "2 d"),
    ],
)
def test_the_largest_fitting_unit_is_used_rounded_down(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
