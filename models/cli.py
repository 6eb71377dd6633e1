"""The command line: ``spoolwatch-models predict | evaluate | compare | verify | train | release``."""

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shared.cmapss import SUBSETS
from shared.errors import SpoolwatchError
from shared.runtimes import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable

PURPOSE = "Judges, proves and makes the RUL models."
RUNTIMES: dict[str, Runtime] = {"auto": "auto", "tflite-runtime": "tflite-runtime", "litert": "ai-edge-litert"}

# As shells say it of a program that Ctrl-C ended.
INTERRUPTED = 130
REGISTRY = Path(__file__).parent / "registry"
MODEL_HELP = "a model.tflite, a bundle folder or a released name"


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 good, 1 failed, 2 wrong usage, 130 interrupted in training."""
    parser = argparse.ArgumentParser(prog="spoolwatch-models", description=PURPOSE)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose, example, add_arguments in _commands():
        epilog = f"example: spoolwatch-models {example}"
        add_arguments(subparsers.add_parser(name, help=purpose, description=purpose, epilog=epilog))
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except SpoolwatchError as error:
        sys.exit(str(error))
    except ModuleNotFoundError as error:
        sys.exit(f"the Python package {error.name} is missing: install spoolwatch[models]")


def _commands() -> "tuple[tuple[str, str, str, Callable[[argparse.ArgumentParser], None]], ...]":
    """Name, purpose, example, and what adds the arguments, of every command."""
    return (
        (
            "predict",
            "predict the RUL of every engine of a C-MAPSS file after its last row",
            "predict --subset FD001 --input test_FD001.txt.gz --output FD001.csv",
            _add_predict,
        ),
        (
            "evaluate",
            "hold predictions against the true RUL: the whole table of the protocol",
            "evaluate FD001.csv --truth RUL_FD001.txt",
            _add_evaluate,
        ),
        (
            "compare",
            "the paired bootstrap of two models' predictions of the same engines",
            "compare A.csv B.csv --truth FILE, or with seeds: compare A0.csv A1.csv --with B0.csv B1.csv --truth FILE",
            _add_compare,
        ),
        (
            "verify",
            "prove that a bundle is whole, small enough and the same on every TFLite runtime",
            "verify turbofan",
            _add_verify,
        ),
        (
            "train",
            "train models on the C-MAPSS training files, judge them out of fold; goes on where it was stopped",
            "train --data FOLDER",
            _add_train,
        ),
        (
            "release",
            "put what was trained into the registry, with its card",
            "release",
            _add_release,
        ),
    )


def _add_predict(command: argparse.ArgumentParser) -> None:
    command.add_argument("--subset", required=True, choices=SUBSETS, help="whose released model to take")
    command.add_argument("--input", required=True, type=Path, metavar="FILE", help="C-MAPSS rows, .txt or .txt.gz")
    command.add_argument("--output", required=True, type=Path, metavar="CSV", help="where the predictions go")
    command.add_argument("--no-age", action="store_true", help="withhold the engine's age from the model")
    command.add_argument(
        "--runtime", choices=RUNTIMES, default="auto", help="TFLite runtime (default what is installed)"
    )
    command.add_argument("--model", metavar="MODEL", help=f"another model: {MODEL_HELP}")
    command.set_defaults(run=_predict)


def _predict(arguments: argparse.Namespace) -> None:
    from models.predictions import CHAMPIONS, model_folder, predict, write_predictions
    from models.reading import read_lives
    from shared.predictor import load_bundle

    lives = read_lives(arguments.input)
    folder = model_folder(arguments.model or CHAMPIONS[arguments.subset])
    predictor = load_bundle(folder, RUNTIMES[arguments.runtime])
    with _progress("engines", len(lives)) as advance:
        predictions = predict(lives, predictor, age_known=not arguments.no_age, after_engine=advance)
    write_predictions(arguments.output, predictions)
    model = f"{predictor.model_ref.name}@{predictor.model_ref.version}"
    print(f"{arguments.output}: {len(predictions)} engines, {model} on {predictor.runtime}")


def _add_evaluate(command: argparse.ArgumentParser) -> None:
    command.add_argument("predictions", nargs="+", type=Path, metavar="CSV", help="of one model; several are its seeds")
    _add_truth(command)
    command.set_defaults(run=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> None:
    from models.evaluation import evaluate

    _tell(evaluate(arguments.predictions, arguments.truth), as_json=arguments.json)


def _add_compare(command: argparse.ArgumentParser) -> None:
    command.add_argument("predictions", nargs="+", type=Path, metavar="CSV", help="A and B, or with --with all of A")
    command.add_argument("--with", nargs="+", type=Path, metavar="CSV", dest="other", help="the seeds of B")
    _add_truth(command)
    command.set_defaults(run=_compare)


def _compare(arguments: argparse.Namespace) -> None:
    from models.comparison import compare

    a, b = arguments.predictions, arguments.other
    if b is None:
        if len(a) != 2:
            raise SpoolwatchError(f"two files of predictions are compared, not {len(a)}; seeds of B follow --with")
        a, b = a[:1], a[1:]
    _tell(compare(a, b, arguments.truth), as_json=arguments.json)


def _add_verify(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", nargs="?", metavar="MODEL", help=f"{MODEL_HELP} (default every released one)")
    _add_json(command)
    command.set_defaults(run=_verify)


def _verify(arguments: argparse.Namespace) -> None:
    from models.predictions import model_folder
    from models.verification import verify

    released = sorted(manifest.parent for manifest in REGISTRY.glob("*/*/manifest.json"))
    folders = [model_folder(arguments.model)] if arguments.model else released
    found = [verify(folder) for folder in folders]
    _tell(found if arguments.json else "\n".join(map(str, found)), as_json=arguments.json)


def _add_train(command: argparse.ArgumentParser) -> None:
    command.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder with the C-MAPSS files")
    _add_trained(command)
    command.add_argument(
        "--all", action="store_true", help="all seeds with their folds, not only the one that is released"
    )
    command.set_defaults(run=_train)


def _train(arguments: argparse.Namespace) -> None:
    with _training_environment():
        from models.training.runs import train
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run = train(arguments.data, arguments.trained, everything=arguments.all)
    except KeyboardInterrupt:
        print(f"stopped; what is finished lies in {arguments.trained}: the same command goes on there", file=sys.stderr)
        sys.exit(INTERRUPTED)
    print(f"{run}: trained; make release puts it into the registry")


def _add_release(command: argparse.ArgumentParser) -> None:
    _add_trained(command)
    command.add_argument(
        "--registry",
        type=Path,
        default=REGISTRY,
        metavar="DIR",
        help="where released bundles lie (default this package's)",
    )
    command.set_defaults(run=_release)


def _release(arguments: argparse.Namespace) -> None:
    with _training_environment():
        from models.training.release import release
    print(f"{release(arguments.trained, arguments.registry)}: released")


def _add_trained(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--trained", type=Path, default=Path(".train"), metavar="DIR", help="what training keeps (default .train)"
    )


@contextmanager
def _training_environment() -> "Iterator[None]":
    try:
        yield
    except ModuleNotFoundError as error:
        raise SpoolwatchError(
            f"the Python package {error.name} is missing: training has an environment of its own; in a checkout, "
            "make train DATA=FOLDER installs it and trains there"
        ) from error


def _add_truth(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--truth", required=True, type=Path, metavar="FILE", help="true RUL, one whole number per unit and line"
    )
    _add_json(command)


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON for scripts")


def _tell(result: object, *, as_json: bool) -> None:
    print(msgspec.json.format(msgspec.json.encode(result)).decode() if as_json else result)


@contextmanager
def _progress(what: str, total: int) -> "Iterator[Callable[[], None]]":
    """A progress bar on a terminal; nothing where the output goes elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


if __name__ == "__main__":
    main()
