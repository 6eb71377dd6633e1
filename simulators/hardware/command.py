"""The command line of ``spoolwatch-simulate hardware``."""

import argparse
import asyncio
from pathlib import Path

from shared.cmapss import SUBSETS
from shared.errors import SpoolwatchError, TopicError
from shared.topics import check_level

PURPOSE = "play the hardware of engines over the protocol that it speaks"
EXAMPLE = "hardware --protocol modbus --engines 3 --speed 20 --fault-rate 0.02"
NOTES = """\
Each engine flies: climb, cruise and descent of a cycle, a sample a second, --speed times as fast. Real servers are
started on the loopback (MQTT: samples are published to a broker that runs already), and beside them agent.toml for an
agent that reads them is written, as well as truth.jsonl: each cycle's row, remaining life and faults.

--faults names a TOML file:

  [[sensor]]                        # stuck, drift, spike or dropout
  kind = "stuck"
  channel = "T30"
  engine = "E-01"                   # without it every engine
  from_cycle = 10
  to_cycle = 14

  [[link]]                          # refused, cut, silent or slow (delay_s = 0.2)
  kind = "cut"
  from_s = 5.0                      # since the engines fly
  to_s = 8.0

  [[clock]]                         # step, drift or frozen
  kind = "step"
  from_cycle = 20
  to_cycle = 25
  size = -3600.0
"""
SHORTEST_FLIGHT_S = 10


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Give the command its options."""
    command.add_argument("--protocol", required=True, choices=("modbus", "opcua", "mqtt", "tcp"))
    command.add_argument("--engines", type=_count, default=1, metavar="N", help="how many (default 1)")
    command.add_argument("--prefix", type=_level, default="E", help="what their serials start with (default E)")
    command.add_argument("--seed", type=_seed, default=0, metavar="S", help="the same seed gives the same (default 0)")
    command.add_argument("--subset", choices=SUBSETS, default=SUBSETS[0], help="type of engine (default FD001)")
    command.add_argument("--speed", type=_speed, default=1.0, metavar="X", help="samples a second (default 1)")
    command.add_argument("--flight-s", type=_flight, default=60, metavar="S", help="samples of a cycle (default 60)")
    command.add_argument(
        "--sample-noise",
        type=_share,
        default=1.0,
        metavar="SD",
        help="noise from sample to sample, in units of that from cycle to cycle (default 1)",
    )
    command.add_argument("--faults", type=Path, metavar="FILE", help="schedule of faults; see below")
    command.add_argument(
        "--fault-rate",
        type=_share,
        default=0.0,
        metavar="P",
        help="probability, per cycle and engine, that a sensor fails for a while (default 0)",
    )
    command.add_argument(
        "--clock-fault-rate",
        type=_share,
        default=0.0,
        metavar="P",
        help="the same of the clock of the engine's device (default 0)",
    )
    command.add_argument(
        "--link-fault-rate",
        type=_share,
        default=0.0,
        metavar="P",
        help="probability, per minute, that the line fails for 1 to 30 s (default 0)",
    )
    command.add_argument("--port", type=_port, help="port of the server (default by protocol)")
    command.add_argument(
        "--broker-port", type=_port, default=1883, metavar="PORT", help="MQTT: the broker's port (default 1883)"
    )
    command.add_argument("--seconds", type=_speed, metavar="S", help="stop by itself after S seconds of flight")
    command.add_argument(
        "--data-dir", type=Path, default=Path(".hardware"), metavar="DIR", help="where files go (default .hardware)"
    )
    command.add_argument("--truth", type=Path, metavar="FILE", help="where the truth goes (default DIR/truth.jsonl)")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> bool:
    """Play until stopped."""
    import msgspec
    import numpy as np

    from simulators.hardware.engine import HardwareOptions
    from simulators.hardware.faults import FaultPlan, drawn_link_faults, read_plan
    from simulators.hardware.play import PlayOptions, play
    from simulators.signals import stop_wish

    plan = read_plan(arguments.faults) if arguments.faults else FaultPlan()
    link = drawn_link_faults(arguments.link_fault_rate, np.random.default_rng(arguments.seed))
    hardware = HardwareOptions(
        seed=arguments.seed,
        subset=arguments.subset,
        flight_s=arguments.flight_s,
        sample_noise=arguments.sample_noise,
        fault_rate=arguments.fault_rate,
        clock_fault_rate=arguments.clock_fault_rate,
        plan=msgspec.structs.replace(plan, link=[*plan.link, *link]),
    )
    options = PlayOptions(
        protocol=arguments.protocol,
        engines=arguments.engines,
        prefix=arguments.prefix,
        speed=arguments.speed,
        hardware=hardware,
        folder=arguments.data_dir,
        truth=arguments.truth or arguments.data_dir / "truth.jsonl",
        port=arguments.port,
        broker_port=arguments.broker_port,
        seconds=arguments.seconds,
    )
    try:
        with stop_wish() as wish:
            asyncio.run(play(options, wish, lambda line: print(line, flush=True)))  # noqa: T201  # for people
    except ModuleNotFoundError as error:
        raise SpoolwatchError(f"{error.name} is not installed: pip install 'spoolwatch[agent,opcua]'") from error
    return True


def _level(text: str) -> str:
    try:
        return check_level(text)
    except TopicError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _number(text: str, least: float, most: float, wanted: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return value


def _whole(text: str, least: int, most: int, wanted: str) -> int:
    if not text.isdecimal() or len(text) > 9 or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return int(text)


def _count(text: str) -> int:
    return _whole(text, 1, 247, "a whole number from 1 to 247")


def _seed(text: str) -> int:
    return _whole(text, 0, 2**31, "a whole number from 0")


def _port(text: str) -> int:
    return _whole(text, 0, 65_535, "a port")


def _flight(text: str) -> int:
    return _whole(text, SHORTEST_FLIGHT_S, 86_400, f"a whole number of seconds from {SHORTEST_FLIGHT_S}")


def _speed(text: str) -> float:
    return _number(text, 1e-3, 1e6, "a number above 0")


def _share(text: str) -> float:
    return _number(text, 0, 1, "a number from 0 to 1")
