"""Writes much in portions, and leaves the store to others in between."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from aggregator.store.commit import against_races
from aggregator.store.database import Store, rest_s

PORTION = 50  # in one transaction, which on SQLite whoever else writes waits for

Item = TypeVar("Item")


def write_in_portions(store: Store, items: Sequence[Item], write: Callable[[Connection, Sequence[Item]], None]) -> None:
    """Have some of the items written in each of several transactions; each is tried again where another was first."""

    def write_portion(connection: Connection, _: int, *, first: int) -> None:
        write(connection, items[first : first + PORTION])

    took_s = 0.0
    for first in range(0, len(items), PORTION):
        if first:
            time.sleep(rest_s(took_s))
        began = time.monotonic()
        against_races(store, partial(write_portion, first=first))
        took_s = time.monotonic() - began
