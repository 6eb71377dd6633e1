"""Commands about gateways and the certificates by which they, the broker and this program know each other."""

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from aggregator.commands.parsers import Added, Commands, caller, open_store_in_use
from aggregator.settings import AggregatorSettings
from shared.errors import SpoolwatchError


def add_to(commands: Commands) -> Added:
    """Add these commands."""
    gateway = commands.add_parser("gateway", help="let gateways in, or no longer, or list them")
    actions = gateway.add_subparsers(required=True, metavar="ACTION")
    add = actions.add_parser("add", help="register a gateway and make a one-time token by which it enrols")
    add.add_argument("--site", required=True, help="where it stands")
    revoke = actions.add_parser("revoke", help="let a gateway in no longer; its connection ends within seconds")
    for action in (add, revoke):
        action.add_argument("name", metavar="NAME", help="name of the gateway, unique over all sites")
    listing = actions.add_parser("list", help="list the gateways, and until when each is let in")
    certificate = commands.add_parser(
        "certificate", help="make the certificate of a server: of the broker, and of this API or a proxy before it"
    )
    certificate.add_argument("host", nargs="+", metavar="HOST", help="name or address by which clients reach it")
    certificate.add_argument(
        "--out", required=True, type=Path, metavar="FOLDER", help="gets ca.crt, server.crt and .key"
    )
    users = commands.add_parser(
        "broker-users",
        help="make the first file of Mosquitto's dynamic security plugin, which lets in aggregators only",
    )
    users.add_argument("--out", required=True, type=Path, metavar="FILE", help="a file that does not exist yet")
    users.add_argument("--aggregator", action="append", metavar="REPLICA", help="may be repeated; without it, this one")
    return [
        *((add, _add), (revoke, _revoke), (listing, _list)),
        *((certificate, _certificate), (users, _broker_users)),
    ]


def _add(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.access.authority import open_authority
    from aggregator.enrolment import Enrolment, Welcome
    from aggregator.signing import open_command_key
    from aggregator.store.registry import register_gateway

    now = datetime.now(UTC)
    centre_key = open_command_key(settings.command_key_path()).public
    welcome = Welcome.of(settings.broker, settings.enrolment, centre_key)
    store = open_store_in_use(settings)
    register_gateway(store, arguments.name, arguments.site, now, by=caller())
    authority = open_authority(settings.ca_path(), now)
    invitation = Enrolment(store, authority, welcome, lambda: now).invite(arguments.name, caller())
    store.close()
    until = f"{invitation.expires_at:%Y-%m-%dT%H:%MZ}"
    print(f"gateway {arguments.name} may enrol once, until {until}, by this token:", file=sys.stderr)
    print(invitation.token.text)


def _revoke(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.store.enrolment import revoke

    store = open_store_in_use(settings)
    revoke(store, arguments.name, caller(), datetime.now(UTC))
    store.close()
    print(f"gateway {arguments.name} is let in no longer")


def _list(settings: AggregatorSettings, _: argparse.Namespace) -> None:
    from aggregator.store.enrolment import list_expiries

    store = open_store_in_use(settings)
    with store.session() as session:
        for name, site, expires_at in list_expiries(session):
            print(f"{name}\t{site}\t{'not enrolled' if expires_at is None else f'until {expires_at:%Y-%m-%d}'}")
    store.close()


def _certificate(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.access.authority import open_authority

    now = datetime.now(UTC)
    authority = open_authority(settings.ca_path(), now)
    key, certificate = authority.issue_server(arguments.host, now)
    arguments.out.mkdir(parents=True, exist_ok=True)
    _write(arguments.out / "server.key", key, 0o600)
    _write(arguments.out / "server.crt", certificate, 0o644)
    _write(arguments.out / "ca.crt", authority.pem.encode(), 0o644)
    print(
        f"{arguments.out} has ca.crt, server.crt and server.key, good for a year; whoever serves with them reads them"
    )


def _broker_users(settings: AggregatorSettings, arguments: argparse.Namespace) -> None:
    from aggregator.access.authority import user_of_centre
    from aggregator.ingest.broker_users import first_configuration

    if arguments.out.exists():
        raise SpoolwatchError(f"{arguments.out} is there already; it may know gateways, so it is not replaced")
    users = [user_of_centre(replica) for replica in arguments.aggregator or [settings.replica]]
    _write(arguments.out, first_configuration(users), 0o600)
    print(f"{arguments.out} lets in {' and '.join(users)}; make it belong to the broker's user")


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace a file in one step; nobody else reads it before its mode says so."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
        fresh.replace(path)
    except OSError as error:
        raise SpoolwatchError(f"{path} cannot be written: {error.strerror}") from error
