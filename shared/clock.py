"""Tells a wall clock that was set from one that starts at its epoch after each power cut."""

from datetime import datetime

FIRST_CREDIBLE_YEAR = 2025


def is_set(now: datetime) -> bool:
    """Whether this can be the present time."""
    return now.year >= FIRST_CREDIBLE_YEAR
