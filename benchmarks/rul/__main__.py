"""Predicts the four C-MAPSS test sets with every committed seed, with and without the age, for scoring by others.

python -m benchmarks.rul --data FOLDER                    predict again with the committed seeds
python -m benchmarks.rul --data FOLDER --trained .train   first take the seeds of what was trained last
"""

import argparse
import os
import shutil
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from rich.progress import Progress

from models.predictions import predict, write_predictions
from models.reading import read_lives
from models.training import bundles, runs
from shared.cmapss import SUBSETS
from shared.predictor import load_bundle

HERE = Path(__file__).parent
SEEDS, PREDICTIONS = HERE / "seeds", HERE / "predictions"


def take_seeds(trained: Path) -> None:
    run = runs.newest(trained)
    shutil.rmtree(SEEDS, ignore_errors=True)
    for seed in runs.finished_seeds(run):
        bundles.save(runs.calibrated_bundle(run, seed), SEEDS / str(seed))


def predict_file(data: Path, subset: str, seed: str, age_known: bool) -> Path:
    predictor = load_bundle(SEEDS / seed, "tflite-runtime")
    (source,) = data.glob(f"test_{subset}.txt*")
    lives = read_lives(source)
    path = PREDICTIONS / f"{subset}_seed{seed}{'' if age_known else '_noage'}.csv"
    write_predictions(path, predict(lives, predictor, age_known=age_known, after_engine=lambda: None))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the C-MAPSS test files")
    parser.add_argument("--trained", type=Path, help="what training keeps, to take its seeds")
    arguments = parser.parse_args()
    if arguments.trained:
        take_seeds(arguments.trained)
    missing = [subset for subset in SUBSETS if len(list(arguments.data.glob(f"test_{subset}.txt*"))) != 1]
    if missing:
        parser.error(f"{arguments.data} has not one file each of test_{missing[0]}.txt or .txt.gz")
    for path in PREDICTIONS.glob("FD00?_seed*.csv"):
        path.unlink()
    PREDICTIONS.mkdir(exist_ok=True)
    seeds = sorted(folder.name for folder in SEEDS.iterdir())
    wanted = [(subset, seed, age_known) for seed in seeds for subset in SUBSETS for age_known in (True, False)]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool, Progress() as progress:
        task = progress.add_task("files", total=len(wanted))
        for future in as_completed([pool.submit(predict_file, arguments.data, *each) for each in wanted]):
            future.result()
            progress.advance(task)
    print(f"{PREDICTIONS}: {len(wanted)} files of seeds {', '.join(seeds)}")


if __name__ == "__main__":
    main()
