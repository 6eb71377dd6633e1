"""The command line of the crash matrix; exits with 1 unless every row is in the store exactly once."""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from tests.crash_matrix.faults import FAULTS
from tests.crash_matrix.plant import running_plant
from tests.crash_matrix.rounds import Round, Schedule, choose, play
from tests.crash_matrix.verdict import Verdict, shown

SABOTAGE_FOLDER = Path(__file__).with_name("sabotage")
SABOTAGES = ("free-on-puback", "ack-before-commit", "synchronous-off", "seq-from-row-ids", "no-digest-check")
DRAIN_S = 60.0


def main(argv: Sequence[str] | None = None) -> None:
    """Play and count."""
    arguments = _parser().parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="spoolwatch-crash-matrix-"))
    console = Console(stderr=arguments.json)
    last: Round | None = None
    try:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("rounds", total=arguments.rounds)
            for last in _rounds(arguments, folder):
                print(_line(last, as_json=arguments.json), flush=True)
                progress.advance(task)
    except BaseException:
        print(f"everything is kept in {folder}", file=sys.stderr)
        raise
    verdict = last.verdict if last else Verdict()
    if verdict.good:
        shutil.rmtree(folder)
    else:
        print("\n".join([*shown(verdict.wrong), f"everything is kept in {folder}"]), file=sys.stderr)
    print(_sum(last.number if last else 0, verdict, as_json=arguments.json))
    sys.exit(0 if verdict.good else 1)


def _rounds(arguments: argparse.Namespace, folder: Path) -> Iterator[Round]:
    environment = {}
    if arguments.sabotage:
        environment = {"PYTHONPATH": str(SABOTAGE_FOLDER), "CRASH_MATRIX_SABOTAGE": arguments.sabotage}
    with running_plant(folder, arguments.seed, arguments.store, environment) as plant:
        schedule = Schedule(choose(plant, arguments.fault), arguments.seed)
        yield from play(plant, schedule, arguments.rounds, arguments.seed, arguments.drain_s)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash_matrix",
        description="Plays rounds of seeded faults against real programs and counts what arrived.",
    )
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="how many rounds (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="same seed, same faults (%(default)s)")
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite", help="(%(default)s)")
    parser.add_argument("--fault", action="append", default=[], choices=list(FAULTS), help="only this one; repeatable")
    parser.add_argument("--sabotage", choices=SABOTAGES, help="break one promise, which must be noticed")
    parser.add_argument("--drain-s", type=float, default=DRAIN_S, help="how long a round may drain (%(default)s)")
    parser.add_argument("--json", action="store_true", help="a JSON object per round, and one for the sum")
    return parser


def _line(one: Round, *, as_json: bool) -> str:
    if as_json:
        return json.dumps(asdict(one))
    remarks = [f"{one.restarts} restarted"] * bool(one.restarts) + [f"{one.dropped} dropped"] * bool(one.dropped)
    line = f"round {one.number:3d}  {' + '.join(one.faults):34s} {one.rows:5d} rows  {one.seconds:5.1f} s"
    return ", ".join([line, *remarks]) + ("" if one.verdict.good else "  FAILED")


def _sum(rounds: int, verdict: Verdict, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"rounds": rounds} | asdict(verdict))
    wrong = f", wrong {len(verdict.wrong)}" if verdict.wrong else ""
    return (
        f"rounds {rounds}, records {verdict.records}, dropped by policy {verdict.dropped}, "
        f"lost {verdict.lost}, duplicates {verdict.duplicates}{wrong}"
    )
