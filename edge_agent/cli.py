"""The command line of the agent: ``spoolwatch-agent enroll | run | check | status | doctor``."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import structlog

from edge_agent import checks, doctor, lean, local, status_text
from edge_agent.enroll_command import add_enroll, run_enroll
from edge_agent.settings import CONFIG, AgentSettings, data_dir_of, settings_file
from edge_agent.troubles import Troubles
from shared import log
from shared.errors import SettingsError, SpoolwatchError
from shared.settings import EX_CONFIG, CommandParser, load

EXAMPLES = """\
examples:
  spoolwatch-agent enroll https://centre.example.org:8000 --token-file token.txt
  spoolwatch-agent check
  spoolwatch-agent run --config /etc/spoolwatch/agent.toml --log-level DEBUG
  spoolwatch-agent status --json
  spoolwatch-agent doctor

Without --config, settings are read from /etc/spoolwatch/agent.toml, where there is such a file.
Every setting can stand in the file, in the environment (SPOOLWATCH_AGENT_BROKER__HOST) or be a flag
(--broker.host); a flag wins over the environment, the environment over the file.
"""

NOT_ENROLLED = "this gateway is not enrolled: spoolwatch-agent enroll would bring site, gateway, engines and broker"

COMMANDS = {
    "run": "watch the engines until stopped",
    "check": "look for wrong settings and a damaged model without starting",
    "status": "show how the agent on this box is doing",
    "doctor": "find what keeps the agent from working and say what to do; exits with 1 if something does",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 good, 1 failed, 78 wrong settings."""
    parser = CommandParser(
        prog="spoolwatch-agent",
        description="Predicts the remaining useful life of the engines at this gateway.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_enroll(commands)
    for name, purpose in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose.capitalize() + ".")
        if name in ("status", "doctor"):
            command.add_argument("--json", action="store_true", help="print JSON for scripts")
        command.take_settings(AgentSettings)
    arguments = parser.parse_args(argv)
    try:
        if arguments.config is None and CONFIG.exists():
            arguments.config = CONFIG
        if arguments.command == "enroll":
            print("\n".join(run_enroll(arguments, _data_dir(arguments))))
            return
        _run(arguments, lambda: _load(arguments))
    except SpoolwatchError as error:
        _give_up([error])
    except PermissionError as error:
        _give_up([SpoolwatchError(f"{error.filename}: {error.strerror}; run this as root, or as the agent's user")])
    except BaseExceptionGroup as group:
        _give_up(list(_single(group)))


def _load(arguments: argparse.Namespace) -> AgentSettings:
    enrolled = settings_file(_data_dir(arguments))
    try:
        return load(AgentSettings, arguments.config, arguments=arguments, beneath=enrolled)
    except SettingsError as error:
        if "\ngateway: Field required" in f"\n{error}" and not enrolled.exists():
            raise SettingsError(f"{error}\n{NOT_ENROLLED}") from error
        raise


def _data_dir(arguments: argparse.Namespace) -> Path:
    return data_dir_of(arguments.config, getattr(arguments, "data_dir", None))


def _give_up(errors: Sequence[BaseException]) -> NoReturn:
    """Say why and exit: what is wrong on purpose in its own words, any other error, a defect, with its traceback."""
    told = [error for error in errors if isinstance(error, SpoolwatchError)]
    for error in errors:
        if error not in told[:1]:
            structlog.get_logger(__name__).error("agent_failed", exc_info=error)
    if told:
        print(told[0], file=sys.stderr)
    sys.exit(EX_CONFIG if told and isinstance(told[0], SettingsError) else 1)


def _single(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The errors in a group of errors and groups, as several loops that run at once leave it."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _single(error)
        else:
            yield error


def _run(arguments: argparse.Namespace, load_settings: Callable[[], AgentSettings]) -> None:
    settings = load_settings()
    match arguments.command:
        case "run":
            lean.import_numpy()
            from edge_agent import app

            troubles = Troubles()

            def reload() -> AgentSettings:
                fresh = load_settings()
                checks.check(fresh)
                log.configure(fresh.log_level, fresh.log_format, troubles)
                return fresh

            log.configure(settings.log_level, settings.log_format, troubles)
            asyncio.run(app.run(settings, reload, troubles=lambda: troubles.last))
        case "check":
            for finding in checks.check(settings):
                print(finding)
        case "status":
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # ends quietly in a pipe that nobody reads to its end
            view = local.look(settings.data_dir, settings.outbox, settings.broker.cert_file)
            in_colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
            print(status_text.render(view, as_json=arguments.json, colour=in_colour))
        case "doctor":
            log.configure("ERROR", "text")
            findings = list(doctor.examine(settings))
            print(doctor.render(findings, as_json=arguments.json))
            sys.exit(any(finding.verdict == "bad" for finding in findings))
