"""Last step: the released seed's bundle with figures, card and pictures, once it has proved itself on both runtimes."""

import shutil
from pathlib import Path

import msgspec

from models.training import bundles, plots, recipe, runs
from models.training.card import tables_of_seeds, write_card
from models.training.held_out import SHIPPED
from models.verification import verify
from shared import manifest as manifests
from shared.bundle import Bundle
from shared.errors import SpoolwatchError
from shared.manifest import Manifest


def release(trained: Path, registry: Path) -> Path:
    """Put the newest run's released seed into a registry; figures are over all of its finished seeds.

    Raises:
        SpoolwatchError: nothing is trained, or another model was already released under this name and version.
    """
    run = runs.newest(trained)
    parts = {seed: runs.held_out_parts(run, seed) for seed in runs.finished_seeds(run)}
    bundle = runs.calibrated_bundle(run, recipe.RELEASED_SEED)
    tables = tables_of_seeds(list(parts.values()))
    manifest = msgspec.structs.replace(
        bundle.manifest,
        figures={
            f"{subset} {column}": table
            for subset, columns in tables[SHIPPED].items()
            for column, table in columns.items()
        },
    )
    folder = registry / manifest.name / manifest.version
    _check_immutable(manifest, folder)
    # Outside of the registry, where a half-finished folder would be found as a release.
    fresh = run / "release"
    shutil.rmtree(fresh, ignore_errors=True)
    bundles.save(Bundle(bundle.path, manifest, bundle.model), fresh)
    card = write_card(manifest, list(parts.values()), tables, len(bundle.model))
    (fresh / "card.md").write_text(card)
    plots.draw_all(parts[recipe.RELEASED_SEED], fresh)
    verify(fresh)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(fresh, folder)
    return folder


def _check_immutable(manifest: Manifest, folder: Path) -> None:
    """What was released under a version stays what it says; only its figures may come to be of more seeds."""
    if not (folder / manifests.FILE_NAME).exists():
        return
    released = manifests.read(folder)
    if msgspec.structs.replace(released, figures={}) != msgspec.structs.replace(manifest, figures={}):
        raise SpoolwatchError(
            f"{folder} holds another model: what is released never changes; give this one a new version in "
            "models/training/version.py"
        )
