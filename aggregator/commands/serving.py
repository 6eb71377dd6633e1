"""Commands that run the program: serve it, check its settings, show its key."""

import argparse
import asyncio
import gc
import sys
from typing import Any

from aggregator.commands.parsers import Added, Commands
from aggregator.settings import AggregatorSettings
from shared import log

SWITCH_INTERVAL_S = 0.001  # Python's own 5 ms would be felt by every request while a batch is decoded


def add_to(commands: Commands) -> Added:
    """Add these commands."""
    serve = commands.add_parser("serve", help="take in records and serve the API and the page until stopped")
    check = commands.add_parser("check", help="look for wrong settings without starting")
    key = commands.add_parser("command-key", help="print the public key that agents pin as centre_key")
    return [(serve, _serve), (check, _check), (key, _command_key)]


def _serve(settings: AggregatorSettings, _: argparse.Namespace) -> None:
    _prepare_interpreter()
    from aggregator import app

    gc.freeze()
    log.configure(settings.log_level, settings.log_format)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(app.serve(settings))


def _prepare_interpreter() -> None:
    """Trade memory for time: imports and batches make many objects, few cycles; and let the loop's thread in sooner."""
    gc.set_threshold(50_000, 20, 20)
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # it exists for CPython on Linux and macOS only
        return None
    return uvloop.new_event_loop


def _check(settings: AggregatorSettings, _: argparse.Namespace) -> None:
    from aggregator.store.database import check_reachable

    settings.broker.password()
    settings.api.check_tls()
    settings.check_data_dir()
    check_reachable(settings.store_url())
    if settings.api.trusted_proxies or not settings.api.is_loopback:
        settings.check_host(has_accounts=_has_accounts(settings))
    print("the settings are good")


def _has_accounts(settings: AggregatorSettings) -> bool:
    from aggregator.store.database import StoreError, open_existing_store
    from aggregator.store.people import is_open

    try:
        store = open_existing_store(settings.store_url())
    except StoreError:
        return False
    try:
        return not is_open(store)
    finally:
        store.close()


def _command_key(settings: AggregatorSettings, _: argparse.Namespace) -> None:
    from aggregator.signing import open_command_key

    print(open_command_key(settings.command_key_path()).public)
