"""The released models that are installed here, as far as the centre needs to know them."""

from functools import lru_cache
from pathlib import Path

from shared import manifest
from shared.bundle import released_bundles
from shared.errors import BundleError, SpoolwatchError
from shared.features import Features
from shared.manifest import Manifest
from shared.messages import ModelRef


class NotReleasedError(SpoolwatchError):
    """A model is not installed at the centre."""


@lru_cache(maxsize=16)
def features_of(name: str, version: str, sha256: str) -> Features | None:
    """How a model sees rows; None where this very model is not installed here, or wants another program."""
    try:
        return Features(find_released(ModelRef(name=name, version=version, sha256=sha256))[1].features)
    except (BundleError, NotReleasedError):
        return None


@lru_cache(maxsize=16)
def find_released(model: ModelRef) -> tuple[Path, Manifest]:
    """The bundle of this very model, and its manifest.

    Name and version are a gateway's words: they are looked up among what is installed, and make no path.

    Raises:
        NotReleasedError: it is not installed here, or another one is under its name and version.
        BundleError: its manifest is damaged.
    """
    bundles = released_bundles()
    folder = bundles.get(f"{model.name}@{model.version}")
    found = None if folder is None else manifest.read(folder)
    if folder is None or found is None or found.sha256 != model.sha256:
        raise NotReleasedError(
            f"model {model.name} {model.version} (sha256 {model.sha256[:12]}…) is not installed at the centre; "
            f"install it here, or name one that is: {', '.join(bundles)}"
        )
    return folder, found


def model_named(text: str) -> ModelRef:
    """The model that somebody names: ``name`` (its highest version) or ``name@version``.

    Raises:
        NotReleasedError: it is not installed here.
        BundleError: its manifest is damaged.
    """
    bundles = released_bundles()
    for name, folder in reversed(bundles.items()):
        if text in (name, folder.parent.name):
            found = manifest.read(folder)
            return ModelRef(name=found.name, version=found.version, sha256=found.sha256)
    raise NotReleasedError(f"model {text} is not installed at the centre; there are: {', '.join(bundles)}")
