"""What groups of commands have in common: how they are added, and how they open the store that is in use."""

import argparse
import sys
from collections.abc import Callable
from getpass import getuser
from typing import TYPE_CHECKING, Protocol

from aggregator.access.roles import FULL_ACCESS, Caller
from aggregator.settings import AggregatorSettings
from shared.settings import CommandParser

if TYPE_CHECKING:
    from aggregator.store.database import Store

Run = Callable[[AggregatorSettings, argparse.Namespace], None]
Added = list[tuple[CommandParser, Run]]


class Commands(Protocol):
    """Where argparse takes commands."""

    def add_parser(self, name: str, *, help: str) -> CommandParser:
        """Add one."""


def caller() -> Caller:
    """Who runs a command, as the audit log calls them."""
    return Caller(f"{getuser()} on this machine", FULL_ACCESS)


def open_store_in_use(settings: AggregatorSettings) -> "Store":
    """Open the store that an aggregator uses, and say which one it is.

    Raises:
        StoreError: there is none, or it cannot be used.
    """
    from aggregator.store.database import open_existing_store

    store = open_existing_store(settings.store_url())
    print(f"store: {store.engine.url!r}", file=sys.stderr)
    return store
