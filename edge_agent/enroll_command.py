"""The command ``spoolwatch-agent enroll``: what it takes, and what it tells."""

import argparse
import sys
from getpass import getpass
from pathlib import Path
from typing import Any

from shared.errors import SpoolwatchError

PURPOSE = "get this gateway its certificate and first settings from the centre"


def add_enroll(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    command = commands.add_parser("enroll", help=PURPOSE, description=PURPOSE.capitalize() + ".")
    command.add_argument("url", metavar="URL", help="the centre's API, such as https://centre.example.org:8000")
    command.add_argument(
        "--token-file", type=Path, metavar="FILE", help="holds the one-time token; without it, it is asked for"
    )
    command.add_argument("--force", action="store_true", help="replace the certificate and settings that are there")
    command.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML file with settings; only data_dir counts here"
    )
    command.add_argument("--data-dir", metavar="FOLDER", help="folder of the agent, which gets a folder enrolment")


def run_enroll(arguments: argparse.Namespace, data_dir: Path) -> list[str]:
    """Enrol; returns what happened and what comes next, for people.

    Raises:
        SpoolwatchError: it did not work, and why.
    """
    from edge_agent.enrolment import enrol
    from shared.enrolment import parse_token

    enrolled = enrol(arguments.url, lambda: parse_token(_token(arguments.token_file)), data_dir, force=arguments.force)
    until = f"{enrolled.expires_at:%Y-%m-%d %H:%M}"
    engines = ", ".join(enrolled.engines)
    return [
        f"gateway {enrolled.gateway} of site {enrolled.site} is enrolled until {until} UTC",
        f"engines: {engines}, as units 1 to {len(enrolled.engines)} of the source"
        if engines
        else "the centre knows of no engine here yet: say in the agent's settings which ones there are",
        "next: say in the agent's settings where its rows come from, then run: spoolwatch-agent check",
    ]


def _token(file: Path | None) -> str:
    if file is None:
        return getpass("token: ") if sys.stdin.isatty() else sys.stdin.readline()
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpoolwatchError(f"the token file {file} cannot be read: {error}") from error
