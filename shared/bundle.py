"""Finds a released model bundle and proves it before use: a damaged model file can crash the runtime itself.

folder → manifest → sha256 of the file → (unknown file: trial in a child process) → ready to load
"""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from shared import manifest as manifests
from shared.errors import BundleError
from shared.manifest import Manifest

MODEL_FILE = "model.tflite"
TRIAL_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose model file has the sha256 that its manifest says.

    Attributes:
        model: content of the model file.
    """

    path: Path
    manifest: Manifest
    model: bytes


def find_bundle(ref: str, registry: Path | None = None) -> Path:
    """Find the folder of a bundle.

    Args:
        ref: ``name`` (its highest version), ``name@version``, or the path of a bundle folder, with a slash in it.
        registry: folder of ``<name>/<version>`` folders; by default the released models that are installed.

    Raises:
        BundleError: there is none; lists what is available.
    """
    if "/" in ref and Path(ref).is_dir():
        return Path(ref)
    released = released_bundles(registry)
    for name, folder in reversed(released.items()):
        if ref in (name, folder.parent.name):
            return folder
    raise BundleError(
        f"no model bundle {ref!r}: it is neither a folder nor one of the released models ({', '.join(released)})"
    )


def released_bundles(registry: Path | None = None) -> dict[str, Path]:
    """The folders of the released models that are installed, or of another registry, by ``name@version``."""
    # The package is found by its name at run time: shared is the lowest layer and imports none above it.
    registry = registry or Path(str(files("models"))) / "registry"
    folders = [manifest.parent for manifest in registry.glob(f"*/*/{manifests.FILE_NAME}")]
    return {f"{folder.parent.name}@{folder.name}": folder for folder in sorted(folders, key=_order)}


def read_bundle(path: Path) -> Bundle:
    """Read a bundle and check its model file against the manifest.

    Raises:
        BundleError: a file is missing, the manifest is wrong, or the model file is not the one it describes.
    """
    manifest = manifests.read(path)
    model_path = path / MODEL_FILE
    try:
        model = model_path.read_bytes()
    except OSError as error:
        raise BundleError(f"{model_path}: {error.strerror}; install the released bundle again") from error
    found = hashlib.sha256(model).hexdigest()
    if found != manifest.sha256:
        raise BundleError(
            f"{model_path} is damaged or not the released file: its sha256 is {found}, "
            f"the manifest says {manifest.sha256}; install the released bundle again"
        )
    return Bundle(path, manifest, model)


def try_bundle(bundle: Bundle, runtime: str, trusted_cache: Path | None) -> None:
    """Let a child process load the model and run its golden vectors, unless this file passed on this runtime before.

    Args:
        bundle: the bundle to try.
        runtime: name and version of the runtime, such as ``tflite-runtime 2.14.0``.
        trusted_cache: file that remembers what passed; without it every load is tried.

    Raises:
        BundleError: the child crashed, hung or found a wrong output.
    """
    proof = f"{bundle.manifest.sha256} {runtime}"
    if trusted_cache and trusted_cache.is_file() and proof in trusted_cache.read_text().splitlines():
        return
    _run_trial(bundle.path, runtime.partition(" ")[0])
    if trusted_cache:
        with trusted_cache.open("a") as file:
            file.write(f"{proof}\n")


def _run_trial(path: Path, runtime_name: str) -> None:
    command = [sys.executable, "-P", "-m", "shared.predictor", str(path.resolve()), runtime_name]
    advice = "the bundle cannot be used; install a released bundle or choose another runtime"
    try:
        trial = subprocess.run(command, capture_output=True, text=True, timeout=TRIAL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"{path}: loading the model took longer than {TRIAL_TIMEOUT_S:.0f} s; {advice}") from error
    if trial.returncode < 0:
        raise BundleError(f"{path}: {runtime_name} crashed on the model (signal {-trial.returncode}); {advice}")
    if trial.returncode != 0:
        reason = (trial.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BundleError(f"{path}: {reason}; {advice}")


def _order(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.name.split(".") if part.isdecimal())
