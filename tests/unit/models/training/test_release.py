import shutil

import msgspec
import pytest

from models.training import plots, recipe, release, runs
from models.training.processes import FULL, Job
from shared import manifest as manifests
from shared.bundle import find_bundle
from shared.errors import SpoolwatchError


@pytest.fixture
def put(monkeypatch, tmp_path, make_fold):
    """Release a finished run of one seed, whose student is the released one with some changes."""
    run = tmp_path / "run"
    monkeypatch.setattr(runs, "newest", lambda trained: run)
    monkeypatch.setattr(plots, "draw_all", lambda parts, folder: None)

    def do(**changes):
        for fold in range(recipe.FOLDS):
            path = runs.result(run, Job(recipe.RELEASED_SEED, fold))
            path.parent.mkdir(parents=True, exist_ok=True)
            make_fold(fold, engines=8).save(path)
        student = runs.result(run, Job(recipe.RELEASED_SEED, FULL))
        shutil.copytree(find_bundle("turbofan"), student, dirs_exist_ok=True)
        manifests.write(msgspec.structs.replace(manifests.read(student), **changes), student)
        return release.release(tmp_path, tmp_path / "registry")

    return do


def test_a_release_has_a_card_and_its_figures_and_may_get_those_of_more_seeds(put):
    folder = put()
    manifest = manifests.read(folder)
    assert f"{manifest.figures['pooled C125']['rmse']:.3f}" in (folder / "card.md").read_text()
    assert put() == folder


def test_what_is_released_never_changes_under_its_version(put):
    folder = put()
    before = manifests.read(folder)
    with pytest.raises(SpoolwatchError, match="what is released never changes; give this one a new version"):
        put(cap_cycles=150.0)
    assert manifests.read(folder) == before


def test_an_interrupted_release_leaves_nothing_that_looks_like_one(put, monkeypatch, tmp_path):
    monkeypatch.setattr(release, "verify", lambda folder: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        put()
    assert not list(tmp_path.glob("registry/**/manifest.json"))
