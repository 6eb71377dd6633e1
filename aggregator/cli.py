"""The command line of the aggregator: ``spoolwatch-aggregator serve | check | backup | …``."""

import argparse
import asyncio
import gc
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from getpass import getpass, getuser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_settings import CliSettingsSource

from aggregator.access.roles import EVERYWHERE, FULL_ACCESS, Caller, Grant, Role
from aggregator.settings import AggregatorSettings
from shared import log
from shared.errors import SettingsError, SpoolwatchError
from shared.settings import EX_CONFIG, add_flags, load
from shared.topics import check_site

if TYPE_CHECKING:
    from aggregator.store.database import Store

SWITCH_INTERVAL_S = 0.001  # Python's own 5 ms would be felt by every request while a batch is decoded
EXAMPLES = """\
examples:
  spoolwatch-aggregator user add anna --role admin --data-dir ./centre
  spoolwatch-aggregator engine add ESN-1001 --site hamburg --gateway gw-7 --position left --data-dir ./centre
  spoolwatch-aggregator serve --data-dir ./centre
  spoolwatch-aggregator serve --broker.kind external --broker.host mqtt.example.org

Every setting can stand in a file (--config), in the environment (SPOOLWATCH_AGGREGATOR_API__PORT) or be a flag
(--api.port); a flag wins over the environment, the environment over the file.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 good, 1 failed, 78 wrong settings."""
    parser, flags = _parser()
    arguments = parser.parse_args(argv)
    try:
        settings = load(AggregatorSettings, arguments.config, flags=flags[arguments.run], arguments=arguments)
        arguments.run(settings, arguments)
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(EX_CONFIG)
    except SpoolwatchError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


def _parser() -> tuple[argparse.ArgumentParser, dict[Any, CliSettingsSource[Any]]]:
    parser = argparse.ArgumentParser(
        prog="spoolwatch-aggregator",
        description="Collects what the gateways send and serves the state of the fleet.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="take in records and serve the API and the page until stopped")
    check = commands.add_parser("check", help="look for wrong settings without starting")
    migrate = commands.add_parser("migrate", help="bring the store to this version of the program")
    backup = commands.add_parser("backup", help="copy the store into a file, also while it is served")
    backup.add_argument("file", metavar="FILE", type=Path, help="a file that does not exist yet")
    restoring = commands.add_parser("restore", help="put a backup in the place of the store, while it is not served")
    restoring.add_argument("file", metavar="FILE", type=Path, help="what the command backup has written")
    epoch = commands.add_parser("new-epoch", help="after a restore on a server: ask gateways for what the store lacks")
    key = commands.add_parser("command-key", help="print the public key that agents pin as centre_key")
    missing = commands.add_parser("missing", help="list records that the store has not got and that will not come")
    user = commands.add_parser("user", help="add people who may log in, or list those who may")
    users = user.add_subparsers(required=True, metavar="ACTION")
    person = users.add_parser("add", help="add a person; the password is asked for, read from a file, or drawn")
    person.add_argument("name", metavar="NAME", help="what the person logs in as")
    person.add_argument("--role", required=True, type=Role, choices=list(Role), help="what the person may do")
    person.add_argument("--site", action="append", metavar="SITE", help="where; may be repeated; without it everywhere")
    password = person.add_mutually_exclusive_group()
    password.add_argument(
        "--password-file", type=Path, metavar="FILE", help="file that holds the password and nothing else"
    )
    password.add_argument("--draw-password", action="store_true", help="draw a password and print it, once")
    people = users.add_parser("list", help="list everybody with an account")
    engine = commands.add_parser("engine", help="register engines, or list those that are")
    actions = engine.add_subparsers(required=True, metavar="ACTION")
    add = actions.add_parser("add", help="register an engine and, with --gateway, where it is installed")
    install = actions.add_parser("install", help="enter that an engine was hung at a position of a gateway")
    remove = actions.add_parser("remove", help="enter that an engine was taken down from where it hung")
    retire = actions.add_parser("retire", help="take an engine out of the fleet; its history stays")
    for action in (add, install, remove, retire):
        action.add_argument("serial", metavar="SERIAL", help="serial number of the engine")
    add.add_argument("--site", required=True, help="where the engine is, and its gateway")
    add.add_argument("--type", default="turbofan", help="kind of engine")
    for action in (add, install):
        action.add_argument("--gateway", required=action is install, help="name of the gateway, unique over all sites")
        action.add_argument("--position", required=action is install, help="where at the gateway, e.g. left")
    install.add_argument("--cycle", type=int, help="age of the engine in cycles when it was hung there, if known")
    for action in (install, remove):
        action.add_argument("--at", type=_instant, help="when, e.g. 2026-11-21T06:00Z; without it, now")
    listing = actions.add_parser("list", help="list the engines and where they are installed")
    flags = {}
    for command, run in (
        *((serve, _serve), (check, _check), (migrate, _migrate), (listing, _list)),
        *((add, _add), (install, _install), (remove, _remove), (retire, _retire)),
        *((backup, _backup), (restoring, _restore), (epoch, _new_epoch), (key, _command_key), (missing, _missing)),
        *((person, _add_person), (people, _list_people)),
    ):
        command.set_defaults(run=run)
        flags[run] = add_flags(AggregatorSettings, command)
    return parser, flags


# Each command imports what it needs itself, so that `--help` and wrong settings are answered at once.


def _serve(settings: AggregatorSettings, _: argparse.Namespace) -> None:
    from aggregator import app

    log.configure(settings.log_level, settings.log_format)
    _prepare_interpreter()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(app.serve(settings))


def _prepare_interpreter() -> None:
    """Trade memory for time: batches make many objects and no cycles; and let the event loop's thread in sooner."""
    gc.freeze()
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


def _migrate(settings: AggregatorSettings, _: argparse.Namespace) -> None:
    from aggregator.store.database import open_store

    open_store(settings.store_url(), migrate=True).close()
    print("the store is up to date")


def _backup(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.store.backup import back_up
    from aggregator.store.database import Store

    store = Store(settings.store_url())
    back_up(store, arguments.file)
    store.close()
    print(f"the store is backed up in {arguments.file}")


def _restore(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.store.backup import restore
    from aggregator.store.database import Store

    store = Store(settings.store_url())
    epoch = restore(store, arguments.file)
    store.close()
    print(f"the store is restored; its new epoch is {epoch}")


def _new_epoch(settings: AggregatorSettings, _: argparse.Namespace) -> None:
    from aggregator.store.backup import in_use

    store = _open(settings)
    with in_use(store, alone=True):
        print(f"the store's new epoch is {store.renew_epoch()}; start the aggregators again")
    store.close()


def _command_key(settings: AggregatorSettings, _: argparse.Namespace) -> None:
    from aggregator.signing import open_command_key

    print(open_command_key(settings.command_key_path()).public)


def _missing(settings: AggregatorSettings, _: argparse.Namespace) -> None:
    from aggregator.store.reads.missing import list_missing

    store = _open(settings)
    with store.session() as session:
        for one in list_missing(session, None):
            print(f"{one.gateway}\t{one.stream_id}\t{one.first_seq}\t{one.last_seq}\t{one.reason}")
    store.close()


def _caller() -> Caller:
    """Who runs a command, as the audit log calls them."""
    return Caller(f"{getuser()} on this machine", FULL_ACCESS)


def _open(settings: AggregatorSettings) -> "Store":
    """Open the store that an aggregator uses, and say which one it is."""
    from aggregator.store.database import open_existing_store

    store = open_existing_store(settings.store_url())
    print(f"store: {store.engine.url!r}", file=sys.stderr)
    return store


def _add(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.store.registry import Registration, register_engine

    store = _open(settings)
    place = arguments.gateway, arguments.position
    register_engine(store, Registration(arguments.serial, arguments.site, *place, arguments.type), by=_caller())
    store.close()
    print(f"engine {arguments.serial} is registered at {'/'.join(filter(None, (arguments.site, arguments.gateway)))}")


def _install(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.store.installations import NewInstallation, install

    store, now = _open(settings), datetime.now(UTC)
    place = arguments.serial, arguments.gateway, arguments.position
    wanted = NewInstallation(*place, arguments.at or now, installation_cycle=arguments.cycle)
    install(store, wanted, now, by=_caller())
    store.close()
    print(f"engine {arguments.serial} is installed at position {arguments.position} of gateway {arguments.gateway}")


def _remove(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.store.installations import remove

    store, now = _open(settings), datetime.now(UTC)
    remove(store, arguments.serial, arguments.at or now, now, by=_caller())
    store.close()
    print(f"engine {arguments.serial} is removed")


def _retire(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.store.registry import edit_engine

    store = _open(settings)
    edit_engine(store, arguments.serial, {"status": "retired"}, datetime.now(UTC), by=_caller())
    store.close()
    print(f"engine {arguments.serial} is retired")


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} has no time zone: end it with Z for UTC, or with +01:00")
    return at


def _list(settings: AggregatorSettings, _: argparse.Namespace) -> None:
    from aggregator.store.registry import list_registrations

    store = _open(settings)
    for one in list_registrations(store):
        print(f"{one.serial}\t{one.site}\t{one.gateway or ''}\t{one.position or ''}")
    store.close()


def _add_person(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.access.passwords import draw_password, hash_password
    from aggregator.store.people import add_person

    sites = [check_site(site) for site in arguments.site or ()] or [EVERYWHERE]
    store = _open(settings)
    password = draw_password() if arguments.draw_password else _read_password(arguments.password_file)
    grants = tuple(Grant(arguments.role, site) for site in sites)
    add_person(store, arguments.name, hash_password(password), grants, _caller(), datetime.now(UTC))
    store.close()
    print(f"{arguments.name} may log in, as {arguments.role} at {' and '.join(sites).replace(EVERYWHERE, 'all sites')}")
    if arguments.draw_password:
        print(f"password: {password}")


def _read_password(file: Path | None) -> str:
    from aggregator.access.passwords import MAX_LENGTH, MIN_LENGTH

    if file is not None:
        try:
            password = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SpoolwatchError(f"the password file {file} cannot be read: {error}") from error
    elif sys.stdin.isatty():
        password = getpass("password: ")
        if getpass("once more: ") != password:
            raise SpoolwatchError("these were two passwords; nobody was added")
    else:
        raise SpoolwatchError("nobody is there to ask for a password: give --password-file or --draw-password")
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise SpoolwatchError(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters; nobody was added")
    return password


def _list_people(settings: AggregatorSettings, _: argparse.Namespace) -> None:
    from aggregator.store.people import list_people

    store = _open(settings)
    with store.session() as session:
        for one in list_people(session):
            grants = " ".join(f"{role}@{site}" for role, site in one.grants)
            print(f"{one.name}\t{grants}\t{'enabled' if one.disabled_at is None else 'disabled'}")
    store.close()
