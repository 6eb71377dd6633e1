"""The released models that are installed here, as far as the centre needs to know them."""

from functools import lru_cache

from shared import manifest
from shared.bundle import released_bundles
from shared.errors import BundleError
from shared.features import Features


@lru_cache(maxsize=16)
def features_of(name: str, version: str, sha256: str) -> Features | None:
    """How a model sees rows; None where this very model is not installed here, or wants another program.

    Name and version are a gateway's words: they are looked up among what is installed, and make no path.
    """
    folder = released_bundles().get(f"{name}@{version}")
    if folder is None:
        return None
    try:
        found = manifest.read(folder)
        return Features(found.features) if found.sha256 == sha256 else None
    except BundleError:
        return None
