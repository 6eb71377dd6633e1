"""Commands about engines: register, install, remove, overhaul, retire and list them."""

import argparse
from datetime import UTC, datetime

from aggregator.commands.parsers import Added, Commands, caller, open_store_in_use
from aggregator.settings import AggregatorSettings


def add_to(commands: Commands) -> Added:
    """Add these commands."""
    engine = commands.add_parser("engine", help="register engines, or list those that are")
    actions = engine.add_subparsers(required=True, metavar="ACTION")
    add = actions.add_parser("add", help="register an engine and, with --gateway, where it is installed")
    install = actions.add_parser("install", help="enter that an engine was hung at a position of a gateway")
    remove = actions.add_parser("remove", help="enter that an engine was taken down from where it hung")
    retire = actions.add_parser("retire", help="take an engine out of the fleet; its history stays")
    overhaul = actions.add_parser("overhaul", help="enter that an engine was overhauled and is as new")
    for action in (add, install, remove, retire, overhaul):
        action.add_argument("serial", metavar="SERIAL", help="serial number of the engine")
    add.add_argument("--site", required=True, help="where the engine is, and its gateway")
    add.add_argument("--type", default="turbofan", help="kind of engine")
    for action in (add, install):
        action.add_argument("--gateway", required=action is install, help="name of the gateway, unique over all sites")
        action.add_argument("--position", required=action is install, help="where at the gateway, e.g. left")
        action.add_argument("--cycle", type=int, help="age of the engine in cycles when it was hung there, if known")
    install.add_argument("--id", help="after a restore: the id that the installation had, which its records name")
    overhaul.add_argument("--after-cycle", type=int, help="the last cycle before it; without it, the rows tell by --at")
    for action in (install, remove, overhaul):
        action.add_argument("--at", type=_instant, help="when, e.g. 2026-11-21T06:00Z; without it, now")
    listing = actions.add_parser("list", help="list the engines and where they are installed")
    return [
        (listing, _list),
        (add, _add),
        (install, _install),
        (remove, _remove),
        (retire, _retire),
        (overhaul, _overhaul),
    ]


def _add(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.store.registry import Registration, register_engine

    store = open_store_in_use(settings)
    place = arguments.gateway, arguments.position
    wanted = Registration(arguments.serial, arguments.site, *place, arguments.type, arguments.cycle)
    register_engine(store, wanted, by=caller())
    store.close()
    print(f"engine {arguments.serial} is registered at {'/'.join(filter(None, (arguments.site, arguments.gateway)))}")


def _install(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.store.installations import NewInstallation, install

    store, now = open_store_in_use(settings), datetime.now(UTC)
    place = arguments.serial, arguments.gateway, arguments.position
    wanted = NewInstallation(*place, arguments.at or now, installation_cycle=arguments.cycle, id=arguments.id)
    install(store, wanted, now, by=caller())
    store.close()
    print(f"engine {arguments.serial} is installed at position {arguments.position} of gateway {arguments.gateway}")


def _remove(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.store.installations import remove

    store, now = open_store_in_use(settings), datetime.now(UTC)
    remove(store, arguments.serial, arguments.at or now, now, by=caller())
    store.close()
    print(f"engine {arguments.serial} is removed")


def _overhaul(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.store.overhauls import NewOverhaul, overhaul

    store, now = open_store_in_use(settings), datetime.now(UTC)
    epoch = overhaul(store, NewOverhaul(arguments.serial, arguments.at or now, arguments.after_cycle), now, by=caller())
    store.close()
    print(f"engine {arguments.serial} is as new; this was overhaul {epoch}")


def _retire(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.store.registry import edit_engine

    store = open_store_in_use(settings)
    edit_engine(store, arguments.serial, {"status": "retired"}, datetime.now(UTC), by=caller())
    store.close()
    print(f"engine {arguments.serial} is retired")


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} has no time zone: end it with Z for UTC, or with +01:00")
    return at


def _list(settings: AggregatorSettings, _: argparse.Namespace) -> None:
    from aggregator.store.registry import list_registrations

    store = open_store_in_use(settings)
    for one in list_registrations(store):
        print(f"{one.serial}\t{one.site}\t{one.gateway or ''}\t{one.position or ''}")
    store.close()
