"""The command line of the simulators: ``spoolwatch-simulate fleet | replay | count | hardware``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shared.cmapss import SUBSETS
from shared.errors import SpoolwatchError, TopicError
from shared.topics import check_level, check_site
from simulators.folder import PlayFolder
from simulators.hardware import command as hardware

if TYPE_CHECKING:
    from simulators.centre import Api, CentreAddress
    from simulators.count import Count
    from simulators.engines import PlayedEngine

PURPOSE = "Plays engines through real agents into a centre, and counts what arrives."
NOTES = """\
Every engine gets a real agent process of its own. Without --api and --broker an aggregator with an embedded broker
is started on the loopback. Ctrl-C stops: what is on its way still arrives; a second Ctrl-C gives it up. The last
line counts what was emitted against what the store holds; the exit status is 1 if they differ. Rows that the model
refuses owe no prediction: a line before the last counts them.
"""
REPLAYED_ENGINES = 12


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 all counted, 1 not or failed, 2 wrong usage."""
    commands = (
        ("fleet", "play simulated engines of all ages until they fail", "fleet --engines 12 --seconds 60", _add_fleet),
        ("replay", "play the engines of a C-MAPSS file", "replay train_FD001.txt.gz --units 1,5,20-24", _add_replay),
        ("count", "count an earlier play once more", "count --data-dir .demo", _add_count),
    )
    parser = argparse.ArgumentParser(
        prog="spoolwatch-simulate",
        description=PURPOSE,
        epilog=NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose, example, add_arguments in commands:
        epilog = f"example: spoolwatch-simulate {example}"
        add_arguments(subparsers.add_parser(name, help=purpose, description=purpose, epilog=epilog))
    hardware.add_arguments(
        subparsers.add_parser(
            "hardware",
            help=hardware.PURPOSE,
            description=hardware.PURPOSE,
            epilog=f"{hardware.NOTES}\nexample: spoolwatch-simulate {hardware.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    arguments = parser.parse_args(argv)
    try:
        sys.exit(0 if arguments.run(arguments) else 1)
    except SpoolwatchError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


def _add_fleet(command: argparse.ArgumentParser) -> None:
    _add_play(command)
    command.add_argument("--engines", type=_positive_int, default=12, metavar="N", help="how many (default 12)")
    command.add_argument(
        "--subset",
        choices=SUBSETS,
        default=SUBSETS[0],
        help="type of engine, as in the C-MAPSS subset of that name (default FD001)",
    )
    command.add_argument("--seed", type=_seed, default=0, help="the same seed gives the same engines (default 0)")
    command.add_argument("--prefix", type=_level, default="E", help="what their serials start with (default E)")
    command.set_defaults(run=_fleet)


def _add_replay(command: argparse.ArgumentParser) -> None:
    command.add_argument("path", type=Path, metavar="PATH", help="C-MAPSS file, .txt or .txt.gz")
    _add_play(command)
    command.add_argument(
        "--engines",
        type=_positive_int,
        metavar="N",
        help=f"play only the first N (default {REPLAYED_ENGINES}, or all of --units)",
    )
    command.add_argument("--units", type=_units, metavar="LIST", help="play only these units, such as 1,5,20-24")
    command.add_argument("--prefix", type=_level, help="what their serials start with (default the file's name)")
    command.set_defaults(run=_replay)


def _add_count(command: argparse.ArgumentParser) -> None:
    _add_folder(command)
    command.add_argument("--api", metavar="URL", help="count at this centre, not in the folder's own store")
    _add_key(command)
    command.set_defaults(run=_count)


def _add_play(command: argparse.ArgumentParser) -> None:
    _add_folder(command)
    command.add_argument("--cycles-per-s", type=_speed, default=1.0, metavar="X", help="speed (default 1)")
    command.add_argument("--seconds", type=_seconds, metavar="S", help="stop by itself after S seconds")
    command.add_argument("--site", type=_site, default="demo", help="site of the gateways (default demo)")
    command.add_argument("--api", metavar="URL", help="a running centre's API; needs --broker")
    _add_key(command)
    command.add_argument("--broker", type=_host_port, metavar="HOST:PORT", help="and its broker")
    command.add_argument("--mqtt-version", type=int, choices=(3, 5), default=5, help="of that broker (default 5)")


def _add_key(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--api-key-file", type=Path, metavar="FILE", help="file with a key for that API, if it takes one"
    )


def _fleet(arguments: argparse.Namespace) -> bool:
    from simulators.engines import simulated_fleet

    engines = simulated_fleet(arguments.engines, arguments.seed, arguments.prefix, arguments.subset)
    return _play(arguments, engines, lasting=True)


def _replay(arguments: argparse.Namespace) -> bool:
    from simulators.engines import recorded_engines

    limit = arguments.engines or (None if arguments.units else REPLAYED_ENGINES)
    engines = recorded_engines(arguments.path, arguments.units, limit, arguments.prefix)
    return _play(arguments, engines, lasting=False)


def _play(arguments: argparse.Namespace, engines: "Sequence[PlayedEngine]", *, lasting: bool) -> bool:
    from rich.console import Console

    from simulators.play import PlayOptions, play

    options = PlayOptions(
        folder=PlayFolder(arguments.data_dir),
        site=arguments.site,
        cycles_per_s=arguments.cycles_per_s,
        seconds=arguments.seconds,
        lasting=lasting,
        centre=_centre(arguments),
    )
    return _report(options.folder, play(engines, options, Console()))


def _centre(arguments: argparse.Namespace) -> "CentreAddress | None":
    from simulators.centre import CentreAddress

    if arguments.api is None and arguments.broker is None:
        return None
    if arguments.api is None or arguments.broker is None:
        raise SpoolwatchError("--api and --broker belong together: give both for a running centre, or neither")
    host, port = arguments.broker
    return CentreAddress(_api(arguments), host, port, arguments.mqtt_version)


def _api(arguments: argparse.Namespace) -> "Api":
    from simulators.centre import Api

    file: Path | None = arguments.api_key_file
    try:
        return Api(arguments.api, None if file is None else file.read_text(encoding="utf-8").strip())
    except OSError as error:
        raise SpoolwatchError(f"--api-key-file {file}: {error.strerror}") from error


def _count(arguments: argparse.Namespace) -> bool:
    from simulators.play import recount

    folder = PlayFolder(arguments.data_dir)
    return _report(folder, recount(folder, None if arguments.api is None else _api(arguments)))


def _report(folder: PlayFolder, count: "Count") -> bool:
    from simulators.agents import leftovers
    from simulators.count import refused_line

    if not count.complete:
        print(*leftovers(folder), sep="\n", file=sys.stderr)
    if count.refused:
        print(refused_line(count.refused))
    print(count)
    return count.complete


def _add_folder(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data-dir", type=Path, default=Path(".demo"), metavar="DIR", help="where the play's files lie (default .demo)"
    )


def _speed(text: str) -> float:
    return _positive(text, "a number of cycles per second above 0")


def _seconds(text: str) -> float:
    return _positive(text, "a number of seconds above 0")


def _positive(text: str, wanted: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return value


def _positive_int(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _units(text: str) -> frozenset[int]:
    """Read a list of units.

    >>> sorted(_units("1,5,20-22"))
    [1, 5, 20, 21, 22]
    """
    units: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            raise argparse.ArgumentTypeError(f"{text!r} is not a list of units such as 1,5,20-24")
        units.update(range(int(first), int(last or first) + 1))
    if not units:
        raise argparse.ArgumentTypeError(f"{text!r} names no unit")
    return frozenset(units)


def _host_port(text: str) -> tuple[str, int]:
    """Read a network address.

    >>> _host_port("127.0.0.1:1883")
    ('127.0.0.1', 1883)
    """
    host, separator, port = text.rpartition(":")
    if not (host and separator and port.isdecimal() and 0 < int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, int(port)


def _level(text: str) -> str:
    try:
        return check_level(text)
    except TopicError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _site(text: str) -> str:
    try:
        return check_site(text)
    except TopicError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
