"""The command line of the aggregator: ``spoolwatch-aggregator serve | check | backup | …``."""

import argparse
import sys
from collections.abc import Sequence

from aggregator.commands import engines, gateways, people, serving, store
from aggregator.settings import AggregatorSettings
from shared.errors import SettingsError, SpoolwatchError
from shared.settings import EX_CONFIG, CommandParser, load

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
    arguments = _parser().parse_args(argv)
    try:
        settings = load(AggregatorSettings, arguments.config, arguments=arguments)
        arguments.run(settings, arguments)
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(EX_CONFIG)
    except SpoolwatchError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="spoolwatch-aggregator",
        description="Collects what the gateways send and serves the state of the fleet.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    groups = (serving, store, people, engines, gateways)
    for command, run in (added for group in groups for added in group.add_to(commands)):
        command.set_defaults(run=run)
        command.take_settings(AggregatorSettings)
    return parser
