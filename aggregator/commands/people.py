"""Commands about people: add and list those who may log in, and give one another password."""

import argparse
import sys
from datetime import UTC, datetime
from getpass import getpass
from pathlib import Path

from aggregator.access.roles import EVERYWHERE, Grant, Role
from aggregator.commands.parsers import Added, Commands, caller, open_store_in_use
from aggregator.settings import AggregatorSettings
from shared.errors import SpoolwatchError
from shared.settings import CommandParser
from shared.topics import check_site


def add_to(commands: Commands) -> Added:
    """Add these commands."""
    user = commands.add_parser("user", help="add people who may log in, give one another password, or list them")
    users = user.add_subparsers(required=True, metavar="ACTION")
    person = users.add_parser("add", help="add a person; the password is asked for, read from a file, or drawn")
    person.add_argument("name", metavar="NAME", help="what the person logs in as")
    person.add_argument("--role", required=True, type=Role, choices=list(Role), help="what the person may do")
    person.add_argument("--site", action="append", metavar="SITE", help="where; may be repeated; without it everywhere")
    _take_password(person)
    forgetful = users.add_parser("password", help="give a person another password; all their logins end")
    forgetful.add_argument("name", metavar="NAME", help="what the person logs in as")
    _take_password(forgetful)
    people = users.add_parser("list", help="list everybody with an account")
    return [(person, _add_person), (forgetful, _change_password), (people, _list_people)]


def _take_password(command: CommandParser) -> None:
    password = command.add_mutually_exclusive_group()
    password.add_argument(
        "--password-file", type=Path, metavar="FILE", help="file that holds the password and nothing else"
    )
    password.add_argument("--draw-password", action="store_true", help="draw a password and print it, once")


def _add_person(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.access.passwords import hash_password
    from aggregator.store.people import add_person

    sites = [check_site(site) for site in arguments.site or ()] or [EVERYWHERE]
    store = open_store_in_use(settings)
    password = _password(arguments)
    grants = tuple(Grant(arguments.role, site) for site in sites)
    add_person(store, arguments.name, hash_password(password), grants, caller(), datetime.now(UTC))
    store.close()
    print(f"{arguments.name} may log in, as {arguments.role} at {' and '.join(sites).replace(EVERYWHERE, 'all sites')}")
    if arguments.draw_password:
        print(f"password: {password}")


def _change_password(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.access.passwords import hash_password
    from aggregator.store.people import PersonChange, change_person

    store = open_store_in_use(settings)
    password = _password(arguments)
    change_person(store, arguments.name, PersonChange(hash_password(password)), caller(), datetime.now(UTC))
    store.close()
    print(f"{arguments.name} has another password, and is logged out everywhere")
    if arguments.draw_password:
        print(f"password: {password}")


def _password(arguments: argparse.Namespace) -> str:
    from aggregator.access.passwords import MAX_LENGTH, MIN_LENGTH, draw_password

    if arguments.draw_password:
        return draw_password()
    file: Path | None = arguments.password_file
    if file is not None:
        try:
            password = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SpoolwatchError(f"the password file {file} cannot be read: {error}") from error
    elif sys.stdin.isatty():
        password = getpass("password: ")
        if getpass("once more: ") != password:
            raise SpoolwatchError("these were two passwords; nothing was changed")
    else:
        raise SpoolwatchError("nobody is there to ask for a password: give --password-file or --draw-password")
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise SpoolwatchError(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters; nothing was changed")
    return password


def _list_people(settings: AggregatorSettings, _: argparse.Namespace) -> None:
    from aggregator.store.people import list_people

    store = open_store_in_use(settings)
    with store.session() as session:
        for one in list_people(session):
            grants = " ".join(f"{role}@{site}" for role, site in one.grants)
            print(f"{one.name}\t{grants}\t{'enabled' if one.disabled_at is None else 'disabled'}")
    store.close()
