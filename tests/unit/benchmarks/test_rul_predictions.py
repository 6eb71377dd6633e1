import sys
from importlib import import_module

from shared.cmapss import SUBSETS

rul = import_module("benchmarks.rul.__main__")


def test_predicting_again_replaces_what_the_seeds_say_and_leaves_the_baseline(tmp_path, monkeypatch):
    for folder in ("seeds", "predictions"):
        (tmp_path / folder).mkdir()
    for subset in SUBSETS:
        (tmp_path / f"test_{subset}.txt").touch()
    for name in ("FD001_seed9.csv", "FD001_seed9_noage.csv", "FD001_dcnn_seed0.csv"):
        (tmp_path / "predictions" / name).touch()
    monkeypatch.setattr(rul, "SEEDS", tmp_path / "seeds")
    monkeypatch.setattr(rul, "PREDICTIONS", tmp_path / "predictions")
    monkeypatch.setattr(sys, "argv", ["rul", "--data", str(tmp_path)])
    rul.main()
    assert [path.name for path in (tmp_path / "predictions").iterdir()] == ["FD001_dcnn_seed0.csv"]
